//! Diagnostics: to standard error as loud as `-v` asks, or to the file of `--log`.

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;

use super::report::Failure;

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loudness {
    /// Errors only.
    Quiet,
    /// Warnings and progress.
    Normal,
    /// What is done.
    Verbose,
    /// Every detail.
    Debug,
}

/// Starts logging; `LKIT_LOG` overrides the level in tracing's filter syntax.
///
/// # Errors
/// When the file cannot be opened.
pub fn start(loudness: Loudness, file: Option<&Path>) -> Result<(), Failure> {
    let level = match loudness {
        Loudness::Quiet => "error",
        // fuser warns when it finds a mount already gone, which is how every mount ends.
        Loudness::Normal => "warn,fuser=error",
        Loudness::Verbose => "lkit=info,warn,fuser=error",
        Loudness::Debug => "lkit=trace,info",
    };
    let filter = EnvFilter::try_from_env("LKIT_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    match file {
        None => builder.with_writer(std::io::stderr).without_time().init(),
        Some(path) => {
            let opened = OpenOptions::new().create(true).append(true).open(path);
            let opened = opened.map_err(|e| Failure::io(format!("cannot open log file `{}`", path.display()), &e))?;
            builder.with_ansi(false).with_writer(Mutex::new(opened)).init();
        }
    }
    Ok(())
}
