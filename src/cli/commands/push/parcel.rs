//! What is pushed: an artifact of a spec, or a file that was written before.

use std::path::{Path, PathBuf};

use crate::base::{ErrorKind, is_url};
use crate::cli::args::System;
use crate::cli::progress::Progress;
use crate::cli::report::Failure;
use crate::cli::settings::Settings;
use crate::cli::specs;
use crate::extent::SharedSource;
use crate::output::Format;
use crate::rootfs::HostFile;

/// Ends of names with more than one dot.
const LONG_END: &str = ".img.tar.gz";

/// Something that is pushed.
pub struct Parcel {
    /// The name of the file without its end.
    pub stem: String,
    /// The end of its name, with the dot.
    pub end: String,
    /// Its bytes.
    pub source: SharedSource,
    /// Where all of it comes from.
    pub settings: Settings,
}

impl Parcel {
    /// The one artifact that `format` has for specs, or the file that `what` names.
    ///
    /// # Errors
    /// When there is none, or it cannot be laid out or opened.
    pub fn new(what: &[PathBuf], format: &str, system: System, progress: &Progress) -> Result<Self, Failure> {
        let format = Format::named(format)?;
        let settings = Settings::new(system)?;
        if let [file] = what
            && !is_spec(file)
        {
            return Self::of_file(file, settings);
        }
        if format.files.len() != 1 {
            let message = format!("`{}` has {} files, and one is pushed", format.name, format.files.len());
            return Err(Failure::usage(message).hint("name a format of one file with `--format`"));
        }
        let catalog = specs::load(what, &settings, progress)?.catalog;
        let artifacts = catalog.written(format)?;
        let artifact = artifacts.first().ok_or_else(|| Failure::usage(format!("`{}` has no file", format.name)))?;
        let source = artifact.open()?.clone();
        Ok(Self::named(artifact.name(), source, settings))
    }

    fn of_file(file: &Path, settings: Settings) -> Result<Self, Failure> {
        let (name, source) = opened(file)?;
        Ok(Self::named(name, source, settings))
    }

    fn named(name: &str, source: SharedSource, settings: Settings) -> Self {
        let at = name.strip_suffix(LONG_END).map(str::len).or_else(|| name.rfind('.').filter(|at| *at > 0));
        let (stem, end) = name.split_at(at.unwrap_or(name.len()));
        Self { stem: stem.to_owned(), end: end.to_owned(), source, settings }
    }

    /// What it is called there: as the user says, else as its file.
    pub fn name(&self, given: Option<String>) -> String {
        given.unwrap_or_else(|| self.stem.clone())
    }

    /// Fails when its name has none of these ends.
    ///
    /// # Errors
    /// With the format that a place takes.
    pub fn check_end(&self, ends: &[&str], place: &str, format: &str) -> Result<(), Failure> {
        if ends.contains(&self.end.as_str()) {
            return Ok(());
        }
        let message = format!("{place} takes no file that ends in `{}`, but {}", self.end, ends.join(", "));
        let hint = format!("name the spec instead, or the file of `lkit build -f {format}`");
        Err(Failure::new(ErrorKind::Usage, message).hint(hint))
    }
}

/// A file to push, by its name.
///
/// # Errors
/// When it cannot be opened.
pub fn opened(file: &Path) -> Result<(&str, SharedSource), Failure> {
    let cannot = |error| Failure::io(format!("cannot push `{}`", file.display()), &error);
    let source = HostFile::open(file).map_err(|error| match error.kind() {
        std::io::ErrorKind::IsADirectory => cannot(error).hint("name a file in it"),
        std::io::ErrorKind::NotFound => cannot(error).hint("name a spec that ends in `.yml`, or a file"),
        _ => cannot(error),
    })?;
    let name = file.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| Failure::usage(format!("`{}` has no name in UTF-8", file.display())))?;
    Ok((name, source))
}

/// Whether a name is that of a spec: standard input, a URL, or what ends as YAML does.
pub fn is_spec(name: &Path) -> bool {
    let end = name.extension().and_then(|end| end.to_str());
    name == Path::new("-") || name.to_str().is_some_and(is_url) || matches!(end, Some("yml" | "yaml"))
}
