//! `--watch`: a system that takes the place of the one that is served whenever its specs change.

use std::error::Error as _;
use std::path::PathBuf;
use std::time::Duration;

use super::log::Loudness;
use super::progress::Progress;
use super::report::Failure;
use super::settings::Settings;
use super::{args, specs};
use crate::base::{Fault as _, in_line};
use crate::serve::{Status, Trouble};
use crate::system::{Change, Error, Input, System, Watch};

/// How often tags are asked for unless something else is said: what a registry takes from everybody.
const INTERVAL: Duration = Duration::from_secs(5 * 60);
/// The shortest interval.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest one, a year.
const LONGEST: u64 = 365 * 24 * 3600;

/// Specs that are followed, and the status that is reported of them.
pub struct Watched {
    watch: Watch,
    status: Status,
    /// Whether messages go to a log, as lines.
    has_log: bool,
    loudness: Loudness,
}

impl args::Watching {
    /// The system of these specs, and with `--watch` what follows them.
    ///
    /// # Errors
    /// What is wrong with specs, images or layers, and when their changes cannot be noticed.
    pub fn load(
        &self,
        names: &[PathBuf],
        settings: &Settings,
        progress: &Progress,
        has_log: bool,
    ) -> Result<(System, Option<Watched>), Failure> {
        if !self.watch {
            return Ok((specs::load(names, settings, progress)?, None));
        }
        let (inputs, interval) = (specs::inputs(names), self.interval()?);
        if inputs.iter().any(|input| matches!(input, Input::Stdin)) {
            return Err(Failure::usage("standard input cannot be read again when it changes")
                .hint("write the spec to a file, or leave out `--watch`"));
        }
        if settings.options.application.is_some() {
            return Err(Failure::usage("`--watch` does not notice changes of the spec of `--eif-application`")
                .hint("leave out one of them"));
        }
        let (origins, options) = (settings.origins.clone(), settings.options.clone());
        let started = Watch::start(inputs, (origins, options), interval, progress);
        progress.clear();
        let (watch, system) = started?;
        let (status, loudness) = (Status::default(), progress.loudness());
        Ok((system, Some(Watched { watch, status, has_log, loudness })))
    }

    fn interval(&self) -> Result<Option<Duration>, Failure> {
        match self.watch_interval.as_deref() {
            None => Ok(Some(INTERVAL)),
            Some("off") => Ok(None),
            Some(text) => duration(text).map(Some).ok_or_else(|| {
                Failure::usage(format!("--watch-interval: `{text}` is no time"))
                    .hint("write a number of seconds, minutes or hours such as `30s`, `5m` or `1h`, or `off`")
            }),
        }
    }
}

/// A time of at least a second: `30s`, `5m`, `1h`.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = [("s", 1), ("m", 60), ("h", 3600)].into_iter().find(|(name, _)| *name == unit)?.1;
    let seconds = number.parse::<u32>().ok().filter(|_| !number.starts_with('+'))?;
    let seconds = u64::from(seconds).checked_mul(unit).filter(|seconds| *seconds <= LONGEST)?;
    Some(Duration::from_secs(seconds)).filter(|time| *time >= SHORTEST)
}

impl Watched {
    /// The status of the system that is served.
    pub fn status(&self) -> Status {
        self.status.clone()
    }

    /// Calls `put` with each system that takes the place of the one before, on a thread that ends with the program.
    ///
    /// # Errors
    /// When there is no room for another thread.
    pub fn follow(self, put: impl Fn(&System) + Send + 'static) -> Result<(), Failure> {
        let thread = std::thread::Builder::new().name("watch".to_owned()).spawn(move || self.serve(&put));
        thread.map(drop).map_err(|error| Failure::io("cannot start the thread that watches the specs", &error))
    }

    fn serve(mut self, put: &dyn Fn(&System)) {
        loop {
            // Nobody looks at bars any more.
            let progress = Progress::without_bars(self.loudness);
            match self.watch.next(&progress) {
                Ok(Change::System(system)) => {
                    put(&system);
                    self.status.replaced();
                    tracing::info!("generation {} is served", self.status.generation());
                }
                Ok(Change::Same) => self.status.recovered(),
                Err(error) => {
                    self.status.failed(trouble(&error));
                    self.tell(error);
                }
            }
        }
    }

    fn tell(&self, error: Error) {
        let said = "the change cannot be used, and what is served stays as it was";
        if self.has_log {
            let place = place(&error).map(|place| format!("{place}: ")).unwrap_or_default();
            tracing::error!("{said}: {place}{}", in_line(&error));
        } else {
            Failure::from(error).under(said).print();
        }
    }
}

/// Spec, line and column of an error, if it is about a place.
fn place(error: &Error) -> Option<String> {
    let place = *error.places().first()?;
    Some(format!("{}:{}:{}", error.texts().name(place)?, place.line, place.column))
}

fn trouble(error: &Error) -> Trouble {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    Trouble {
        message: error.to_string(),
        place: place(error),
        excerpt: error.excerpt(),
        causes: causes.map(ToString::to_string).collect(),
        hint: error.hint(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_a_number_with_a_unit() {
        for (text, seconds) in [("1s", 1), ("30s", 30), ("5m", 300), ("1h", 3600), ("8760h", LONGEST)] {
            assert_eq!(duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "0s", "s", "5", "5d", "-1s", "+1s", "1.5h", "4294967295h", "5 m", "1ß"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
