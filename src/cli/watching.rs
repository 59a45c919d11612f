//! `--watch`: a system that takes the place of the one that is served whenever its specs change, or an image whose tag
//! moves.

use std::error::Error as _;
use std::time::Duration;

use super::log::Loudness;
use super::progress::Progress;
use super::report::Failure;
use super::settings::Settings;
use super::{args, specs};
use crate::base::{Fault as _, in_line};
use crate::oci::{Image, Reference};
use crate::serve::{Status, Trouble};
use crate::system::{self, Application, Change, Error, ImageWatch, Input, System, Watch};
use crate::tree::Tree;

/// How often tags are asked for unless something else is said: what a registry takes from everybody.
const INTERVAL: Duration = Duration::from_secs(5 * 60);
/// The shortest interval.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest one, a year.
const LONGEST: u64 = 365 * 24 * 3600;

/// An image with its files.
pub type ImageFiles = (Image, Tree);

/// Waits for what comes next; nothing when that is what is served already.
type Next<T> = dyn FnMut(&Progress) -> Result<Option<T>, Error> + Send;

/// What is followed, and the status that is reported of it.
pub struct Watched<T> {
    next: Box<Next<T>>,
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
        inputs: Vec<Input>,
        settings: &Settings,
        progress: &Progress,
        has_log: bool,
    ) -> Result<(System, Option<Watched<System>>), Failure> {
        if !self.watch {
            return Ok((specs::load_inputs(&inputs, settings, progress)?, None));
        }
        let interval = self.interval()?;
        if inputs.iter().any(|input| matches!(input, Input::Stdin)) {
            return Err(Failure::usage("standard input cannot be read again when it changes")
                .hint("write the spec to a file, or leave out `--watch`"));
        }
        if matches!(settings.options.application, Some(Application::Spec(_))) {
            return Err(Failure::usage("`--watch` does not notice changes of the spec of `--eif-application`")
                .hint("leave out one of them"));
        }
        let (origins, options) = (settings.origins.clone(), settings.options.clone());
        let started = Watch::start(inputs, (origins, options), interval, progress);
        progress.clear();
        let (mut watch, system) = started?;
        let next = move |progress: &Progress| match watch.next(progress)? {
            Change::System(system) => Ok(Some(*system)),
            Change::Same => Ok(None),
        };
        Ok((system, Some(Watched::new(next, progress.loudness(), has_log))))
    }

    /// One image with its files, and with `--watch` what follows its tag.
    ///
    /// # Errors
    /// What is wrong with the image or its layers, and when it never changes.
    pub fn load_image(
        &self,
        image: &Reference,
        settings: &Settings,
        progress: &Progress,
        has_log: bool,
    ) -> Result<(ImageFiles, Option<Watched<ImageFiles>>), Failure> {
        if !self.watch {
            let loaded = system::load_image(image, &settings.origins, progress);
            progress.clear();
            return Ok((loaded?, None));
        }
        let interval = self.interval()?.ok_or_else(|| {
            Failure::usage("with `--watch-interval off` nobody asks whether the tag of an image has moved")
                .hint("leave out `--watch`, or name a time such as `5m`")
        })?;
        let started = ImageWatch::start(image.clone(), settings.origins.clone(), interval, progress);
        progress.clear();
        let (mut watch, found) = started?;
        let next = move |progress: &Progress| watch.next(progress);
        Ok((found, Some(Watched::new(next, progress.loudness(), has_log))))
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

impl<T: 'static> Watched<T> {
    fn new(
        next: impl FnMut(&Progress) -> Result<Option<T>, Error> + Send + 'static,
        loudness: Loudness,
        has_log: bool,
    ) -> Self {
        Self { next: Box::new(next), status: Status::default(), has_log, loudness }
    }

    /// The status of what is served.
    pub fn status(&self) -> Status {
        self.status.clone()
    }

    /// The same with something else made of what comes next.
    pub fn map<U: 'static>(mut self, make: impl Fn(T) -> U + Send + 'static) -> Watched<U> {
        let next = move |progress: &Progress| Ok((self.next)(progress)?.map(&make));
        Watched { next: Box::new(next), status: self.status, has_log: self.has_log, loudness: self.loudness }
    }

    /// Calls `put` with all that takes the place of what was before, on a thread that ends with the program.
    ///
    /// # Errors
    /// When there is no room for another thread.
    pub fn follow(self, put: impl Fn(T) + Send + 'static) -> Result<(), Failure> {
        let thread = std::thread::Builder::new().name("watch".to_owned()).spawn(move || self.serve(&put));
        thread.map(drop).map_err(|error| Failure::io("cannot start the thread that watches for changes", &error))
    }

    fn serve(mut self, put: &dyn Fn(T)) {
        loop {
            // Nobody looks at bars any more.
            let progress = Progress::without_bars(self.loudness);
            match (self.next)(&progress) {
                Ok(Some(next)) => {
                    put(next);
                    self.status.replaced();
                    tracing::info!("generation {} is served", self.status.generation());
                }
                Ok(None) => self.status.recovered(),
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
        hint: error.advice(),
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
