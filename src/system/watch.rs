//! Specs that are loaded again when they change, or when what they name does.
//!
//! ```text
//! specs, locks, files of `files` ──events──▶ other stamps? ──▶ load ──▶ another system, an error, or the same as before
//! registries ──HEAD of each tag, at an interval──▶ moved? ──────┘
//! ```
//!
//! # Invariants
//! - What is shown is of the files as they were at one time: each is stamped before it is read, so one that changes while
//!   a system is loaded makes the next load.
//! - A load that fails leaves everything as it was; the next change is another attempt.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use super::load::{Specs, load_from, parse};
use super::stock::Stock;
use super::tags::Tags;
use super::touched::{Stamps, Touched, stamps};
use super::{Error, Input, Options, Origins, System, lock_file};
use crate::base::{Digest, Monitor};
use crate::rootfs::host_path;
use crate::spec::{FileContent, Parsed};

/// What a change comes to.
pub enum Change {
    /// Another system.
    System(Box<System>),
    /// The system that was loaded last, such as when a mistake is taken back.
    Same,
}

/// What a system is made of: its seed, that of the application in an image for an enclave, and files of this machine.
type MadeOf = (Digest, Option<Digest>, Stamps);

/// Specs whose changes are noticed.
pub struct Watch {
    inputs: Vec<Input>,
    origins: Origins,
    options: Options,
    stock: Stock,
    tags: Tags,
    touched: Touched,
    /// The files whose changes matter, as they were when they were looked at last.
    files: Stamps,
    /// What the system that was loaded last is made of.
    loaded: MadeOf,
    has_failed: bool,
}

impl Watch {
    /// Loads specs, and notices from then on what changes. Tags are asked for at an interval, if there is one.
    ///
    /// # Errors
    /// What is wrong with specs, images or layers, and when changes cannot be noticed.
    pub fn start(
        inputs: Vec<Input>,
        (origins, options): (Origins, Options),
        interval: Option<Duration>,
        monitor: &dyn Monitor,
    ) -> Result<(Self, System), Error> {
        let (stock, touched) = (Stock::new(&origins, monitor)?, Touched::new()?);
        let (files, loaded) = (Stamps::new(), (Digest::of(b""), None, Stamps::new()));
        let tags = Tags::new(interval);
        let mut watch = Self { inputs, origins, options, stock, tags, touched, files, loaded, has_failed: false };
        let (system, loaded) = watch.load(monitor)?;
        watch.loaded = loaded;
        // What is served stays until something else is there as a whole.
        watch.options.on_early = None;
        Ok((watch, system))
    }

    /// Waits for the next change.
    ///
    /// # Errors
    /// What is wrong with the specs, or what they name, as they are now.
    pub fn next(&mut self, monitor: &dyn Monitor) -> Result<Change, Error> {
        loop {
            self.touched.wait(self.tags.due());
            let is_due = self.tags.are_due() && self.has_more_to_load(monitor);
            if self.is_stale() || is_due {
                break;
            }
        }
        let loaded = self.load(monitor);
        self.has_failed = loaded.is_err();
        let (system, loaded) = loaded?;
        if loaded == self.loaded {
            return Ok(Change::Same);
        }
        self.loaded = loaded;
        Ok(Change::System(Box::new(system)))
    }

    /// Whether a file is another one than it was.
    fn is_stale(&mut self) -> bool {
        // A directory may have been made again. One that cannot be watched is an error of the load.
        self.touched.watch(self.files.keys()).is_err() || stamps(self.files.keys()) != self.files
    }

    /// Whether there is more to load again for than changed files, now that it is time to ask.
    fn has_more_to_load(&mut self, monitor: &dyn Monitor) -> bool {
        let have_moved = self.tags.have_moved(&self.stock, &self.origins, monitor);
        have_moved || self.has_failed || self.inputs.iter().any(Input::is_remote)
    }

    /// The system as files and tags are now, and what it is made of.
    fn load(&mut self, monitor: &dyn Monitor) -> Result<(System, MadeOf), Error> {
        let own: BTreeSet<PathBuf> = self.own_files()?.into_iter().chain(self.files.keys().cloned()).collect();
        self.touched.watch(&own)?;
        self.files = stamps(&own);
        let parsed = parse(&self.inputs, monitor)?;
        let sources = self.sources(&parsed);
        let all: BTreeSet<PathBuf> = self.own_files()?.into_iter().chain(sources.iter().cloned()).collect();
        self.touched.watch(&all)?;
        let new: Vec<PathBuf> = all.iter().filter(|path| !self.files.contains_key(*path)).cloned().collect();
        self.files.retain(|path, _| all.contains(path));
        self.files.extend(stamps(&new));
        self.stock.begin();
        let from = (&self.origins, &self.options);
        let specs = Specs::new(parsed, &self.inputs, from, monitor)?;
        let system = load_from(&self.stock, specs, from, monitor)?;
        self.stock.end();
        let of_sources = self.files.iter().filter(|(path, _)| sources.contains(*path));
        let of_sources = of_sources.map(|(path, stamp)| (path.clone(), *stamp)).collect();
        let made = system.catalog.system();
        let made_of = (made.seed, made.enclave.seed, of_sources);
        Ok((system, made_of))
    }

    /// Specs in files, and their lock where it counts.
    fn own_files(&self) -> Result<Vec<PathBuf>, Error> {
        let specs = self.inputs.iter().filter_map(Input::path).map(std::path::absolute);
        let mut files: Vec<PathBuf> = specs.filter_map(Result::ok).collect();
        if self.origins.locked {
            files.extend(std::path::absolute(lock_file::path_of(&self.inputs)?));
        }
        Ok(files)
    }

    /// The files of this machine that a spec names.
    fn sources(&self, parsed: &Parsed) -> BTreeSet<PathBuf> {
        let sources = parsed.spec.files.iter().filter_map(|file| match &file.content {
            FileContent::Source { path, .. } => host_path(&path.value, self.origins.home.as_deref()).ok(),
            _ => None,
        });
        sources.collect()
    }
}
