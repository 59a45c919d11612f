//! Tags that are asked for at an interval, to notice when one has moved.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::Origins;
use super::images::{Images, RESOLVERS, side_by_side};
use super::stock::Stock;
use crate::base::{Event, Monitor, in_line};

/// When the tags that a stock knows are asked for, and what was said of those that cannot be.
pub(super) struct Tags {
    /// How often they are asked for; never without one.
    interval: Option<Duration>,
    asked: Instant,
    /// Warnings about tags that cannot be asked for, each reported once.
    told: BTreeSet<String>,
}

impl Tags {
    /// Tags that have been asked for just now.
    pub fn new(interval: Option<Duration>) -> Self {
        Self { interval, asked: Instant::now(), told: BTreeSet::new() }
    }

    /// When to ask next, if ever.
    pub fn due(&self) -> Option<Instant> {
        self.interval.map(|interval| self.asked + interval)
    }

    /// Waits until it is time to ask; for ever where nothing is asked.
    pub fn wait(&self) {
        let time = self.due().map_or_else(crossbeam_channel::never, crossbeam_channel::at);
        let _: Result<Instant, _> = time.recv();
    }

    /// Whether it is time to ask.
    pub fn are_due(&self) -> bool {
        self.due().is_some_and(|due| due <= Instant::now())
    }

    /// Asks whether a tag means something else now.
    pub fn have_moved(&mut self, stock: &Stock, origins: &Origins, monitor: &dyn Monitor) -> bool {
        self.asked = Instant::now();
        let images = Images::over(stock, origins, monitor);
        let answers = side_by_side(&stock.known(), RESOLVERS, |(reference, digest)| {
            let moved = images.has_moved(reference, digest);
            moved.map_err(|error| format!("cannot look whether `{reference}` has moved: {}", in_line(&error)))
        });
        let told: BTreeSet<String> = answers.iter().filter_map(|answer| answer.clone().err()).collect();
        told.difference(&self.told).for_each(|message| monitor.event(Event::Warning(message.clone())));
        self.told = told;
        answers.contains(&Ok(true))
    }
}
