//! `--reads` and `--record`: what is fetched before it is read, and what was read.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::args;
use super::report::Failure;
use super::settings::Settings;
use crate::layer::Recorder;
use crate::system::{Prefetch, read_list, write_read_list};

/// Where what is read is written at the end, if anywhere.
pub struct Recording(Option<(PathBuf, Arc<Recorder>)>);

impl args::Reads {
    /// Puts these options into settings. Without `--reads` the list in the lock counts, or one published with an index.
    ///
    /// # Errors
    /// When the file is not a read list, or the record cannot be written where it is to go.
    pub fn apply(&self, settings: &mut Settings) -> Result<Recording, Failure> {
        settings.origins.prefetch = match &self.reads {
            Some(path) => Prefetch::Listed(read_list(path)?),
            None => Prefetch::Known,
        };
        let Some(path) = &self.record else { return Ok(Recording(None)) };
        let path = std::path::absolute(path).map_err(|_| no_place(path))?;
        if path.is_dir() || !path.parent().is_some_and(Path::is_dir) {
            return Err(no_place(&path).hint("name a file in a directory that is there"));
        }
        let recorder = Arc::new(Recorder::default());
        settings.origins.recorder = Some(recorder.clone());
        Ok(Recording(Some((path, recorder))))
    }

    /// Whether nothing is asked for.
    pub const fn is_empty(&self) -> bool {
        self.reads.is_none() && self.record.is_none()
    }

    /// These options as they are typed.
    pub fn words(&self) -> Vec<OsString> {
        let word = |(name, path): (&str, &PathBuf)| {
            let mut word = OsString::from(format!("--{name}="));
            word.push(path);
            word
        };
        let paths = [("reads", &self.reads), ("record", &self.record)];
        paths.into_iter().filter_map(|(name, path)| Some(word((name, path.as_ref()?)))).collect()
    }
}

impl Recording {
    /// Writes what was noted.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(self) -> Result<(), Failure> {
        match self.0 {
            Some((path, recorder)) => Ok(write_read_list(&path, &recorder.list())?),
            None => Ok(()),
        }
    }
}

fn no_place(path: &Path) -> Failure {
    Failure::usage(format!("--record: `{}` is no place for a file", path.display()))
}
