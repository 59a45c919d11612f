//! Progress on standard error: bars on a terminal while layers or files are passed over; elsewhere nothing, unless `-v`
//! asks for a line for each finished layer.

use std::collections::HashSet;
use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::log::Loudness;
use super::report;
use crate::base::{Digest, Event, Monitor, printable_line};
use crate::serve::Exported;

/// Draws what the library reports.
pub struct Progress {
    loudness: Loudness,
    /// Whether standard error is a terminal, and `-q` is not given.
    is_watched: bool,
    /// The layers under way; hidden until the first one starts.
    bar: ProgressBar,
    /// The file that is written; hidden until the first one begins.
    file: ProgressBar,
    /// Bytes reported so far of each layer under way.
    done: Mutex<Vec<(Digest, u64)>>,
    /// Warnings that were printed.
    warned: Mutex<HashSet<String>>,
}

impl Progress {
    /// Progress as loud as asked.
    pub fn new(loudness: Loudness) -> Self {
        let is_watched = loudness >= Loudness::Normal && std::io::stderr().is_terminal();
        let [bar, file] = [hidden_bar(), hidden_bar()];
        bar.set_message("layers");
        Self { loudness, is_watched, bar, file, done: Mutex::default(), warned: Mutex::default() }
    }

    /// The same without bars, for what goes on while others watch something else.
    pub fn without_bars(loudness: Loudness) -> Self {
        Self { is_watched: false, ..Self::new(loudness) }
    }

    /// How much is said.
    pub const fn loudness(&self) -> Loudness {
        self.loudness
    }

    /// Takes the bars away.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
        self.file.finish_and_clear();
    }

    /// Takes note of how far a file is written.
    pub fn exported(&self, file: Exported<'_>) {
        if self.is_watched {
            if self.file.is_finished() {
                self.file.reset();
            }
            self.file.set_message(printable_line(file.name).to_string());
            self.file.set_length(file.size);
            self.file.set_position(file.done);
            self.show(&self.file);
            self.file.tick();
        }
    }

    /// Takes note of how far others are, who are waited for.
    pub fn waiting(&self, on: &str, percent: u8) {
        if self.is_watched {
            self.file.finish_and_clear();
            self.bar.set_style(ProgressStyle::default_spinner());
            self.bar.set_message(format!("waiting for {on}: {percent} %"));
            self.show(&self.bar);
            self.bar.tick();
        } else {
            self.line(Loudness::Verbose, &format!("waiting for {on}: {percent} %"));
        }
    }

    /// Tells in one line what scripts wait for, too, such as a port that was chosen.
    pub fn ready(&self, line: &str) {
        self.clear();
        self.line(Loudness::Normal, line);
    }

    /// Tells what was done and where, in one line, to somebody who watches; scripts read the exit code.
    pub fn finished(&self, line: &str) {
        self.clear();
        if self.is_watched {
            report::say(line);
        }
    }

    /// Draws a bar from now on, if it is watched and not drawn yet.
    fn show(&self, bar: &ProgressBar) {
        if self.is_watched && bar.is_hidden() {
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }

    fn line(&self, loudness: Loudness, text: &str) {
        if self.loudness >= loudness {
            self.bar.suspend(|| report::say(&format!("{text}\n")));
        }
    }

    fn advance(&self, digest: Digest, now: u64) {
        let mut layers = self.done.lock().unwrap_or_else(PoisonError::into_inner);
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

/// Warnings that are remembered, at most; those after them may be printed again.
const MOST_WARNINGS: usize = 1000;

impl Progress {
    /// Prints a warning, once: what is wrong with a mirror is so for every image.
    fn warn(&self, text: String) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if !warned.contains(&text) {
            self.bar.suspend(|| report::warn(&text));
            if warned.len() < MOST_WARNINGS {
                warned.insert(text);
            }
        }
    }
}

/// A bar that nothing draws yet.
fn hidden_bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
    match ProgressStyle::with_template("{msg} [{bar:30}] {bytes}/{total_bytes} {binary_bytes_per_sec}") {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}

impl Monitor for Progress {
    fn event(&self, event: Event) {
        match event {
            Event::Resolving { reference } => self.line(Loudness::Verbose, &format!("resolving {reference}")),
            Event::Resolved { reference, digest } => self.line(Loudness::Verbose, &format!("{reference} is {digest}")),
            Event::LayerStarted { size, .. } | Event::BlobStarted { size, .. } => {
                self.bar.inc_length(size);
                self.show(&self.bar);
            }
            Event::LayerProgress { digest, done } | Event::BlobProgress { digest, done } => self.advance(digest, done),
            Event::LayerFinished { digest } => self.line(Loudness::Verbose, &format!("indexed layer {digest}")),
            Event::BlobFinished { digest } => self.line(Loudness::Verbose, &format!("copied blob {digest}")),
            Event::Warning(text) if self.loudness >= Loudness::Normal => self.warn(text),
            Event::SpecWarning { message, excerpt } if self.loudness >= Loudness::Normal => {
                self.bar.suspend(|| report::warn_at(&message, &excerpt));
            }
            Event::Warning(_) | Event::SpecWarning { .. } => {}
        }
    }
}
