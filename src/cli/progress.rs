//! Progress on standard error: a bar on a terminal, a line for each finished layer elsewhere.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::log::Loudness;
use super::report;
use crate::base::{Digest, Event, Monitor};

/// Draws what the library reports.
pub struct Progress {
    loudness: Loudness,
    bar: ProgressBar,
    /// Bytes reported so far of each layer under way.
    done: std::sync::Mutex<Vec<(Digest, u64)>>,
}

impl Progress {
    /// Progress as loud as asked.
    pub fn new(loudness: Loudness) -> Self {
        let shows = loudness >= Loudness::Normal && std::io::stderr().is_terminal();
        let target = if shows { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template("{msg} [{bar:30}] {bytes}/{total_bytes} {binary_bytes_per_sec}");
        let bar = ProgressBar::with_draw_target(Some(0), target);
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message("layers");
        Self { loudness, bar, done: std::sync::Mutex::default() }
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }

    fn line(&self, loudness: Loudness, text: &str) {
        if self.loudness >= loudness {
            self.bar.suspend(|| report::say(&format!("{text}\n")));
        }
    }

    fn advance(&self, digest: Digest, now: u64) {
        let mut layers = self.done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match layers.iter_mut().find(|(layer, _)| *layer == digest) {
            Some((_, before)) => {
                self.bar.inc(now.saturating_sub(*before));
                *before = now;
            }
            None => {
                self.bar.inc(now);
                layers.push((digest, now));
            }
        }
    }
}

impl Monitor for Progress {
    fn event(&self, event: Event) {
        match event {
            Event::Resolving { reference } => self.line(Loudness::Verbose, &format!("resolving {reference}")),
            Event::Resolved { reference, digest } => self.line(Loudness::Verbose, &format!("{reference} is {digest}")),
            Event::LayerStarted { size, .. } => self.bar.inc_length(size),
            Event::LayerProgress { digest, done } => self.advance(digest, done),
            Event::LayerFinished { digest } => self.line(Loudness::Verbose, &format!("indexed layer {digest}")),
            Event::Warning(text) if self.loudness >= Loudness::Normal => self.bar.suspend(|| report::warn(&text)),
            Event::SpecWarning { message, excerpt } if self.loudness >= Loudness::Normal => {
                self.bar.suspend(|| report::warn_at(&message, &excerpt));
            }
            Event::Warning(_) | Event::SpecWarning { .. } => {}
        }
    }
}
