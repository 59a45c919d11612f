//! Diagnostics: to standard error as loud as `-v` asks, or to the file of `--log`.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

use super::report::Failure;
use crate::base::printable_line;

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

/// Libraries that tell of URLs in their details, with the passwords in them.
const TELLTALES: [&str; 3] = ["hyper", "hyper_util", "reqwest"];

/// Starts logging; `LKIT_LOG` overrides the level in tracing's filter syntax, but not for what may tell a password.
///
/// # Errors
/// When the file cannot be opened.
pub fn start(loudness: Loudness, file: Option<&Path>) -> Result<(), Failure> {
    let level = match loudness {
        Loudness::Quiet => "error",
        // fuser warns of every operation that it is asked for and a file system that is only read does not have.
        Loudness::Normal => "warn,fuser=error",
        Loudness::Verbose => "lkit=info,warn,fuser=error",
        Loudness::Debug => "lkit=trace,info",
    };
    // What is wrong with a certificate is part of our own message.
    let own = || EnvFilter::new(format!("{level},rustls_platform_verifier=off"));
    let filter = EnvFilter::try_from_env("LKIT_LOG").unwrap_or_else(|_| own());
    let discreet = filter_fn(|metadata| {
        let library = metadata.target().split("::").next().unwrap_or_default();
        *metadata.level() <= LevelFilter::INFO || !TELLTALES.contains(&library)
    });
    // Without colours of its own, so that every control character in a message is one that does not belong there.
    let layer = fmt::layer().with_target(false).with_ansi(false);
    let layer = match file {
        None => layer.with_writer(|| Lines(io::stderr())).without_time().boxed(),
        Some(path) => {
            let opened = OpenOptions::new().create(true).append(true).open(path);
            let opened = opened.map_err(|e| Failure::io(format!("cannot open log file `{}`", path.display()), &e))?;
            layer.with_writer(Mutex::new(Lines(opened))).boxed()
        }
    };
    tracing_subscriber::registry().with(filter).with(discreet).with(layer).init();
    Ok(())
}

/// Writes each message as one line that does not steer a terminal: a log is read on one, too.
struct Lines<W>(W);

impl<W: Write> Write for Lines<W> {
    /// Takes one message, which the subscriber hands over as a whole, with its end of line.
    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(message);
        self.0.write_all(format!("{}\n", printable_line(text.trim_end_matches('\n'))).as_bytes())?;
        Ok(message.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_whatever_it_quotes() {
        let mut lines = Lines(Vec::new());
        lines.write_all("WARN `a\x1b[2J\nERROR b\u{202e}`\n".as_bytes()).unwrap();
        lines.write_all(b"WARN c\n").unwrap();
        assert_eq!(String::from_utf8(lines.0).unwrap(), "WARN `a\\x1b[2J\\x0aERROR b\\u{202e}`\nWARN c\n");
    }
}
