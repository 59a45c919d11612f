//! Errors as a person sees them: message, place, causes, hint; on standard error, each thing once.

use std::error::Error;
use std::io::{self, Write as _};

use crate::base::{ErrorKind, Fault};

/// An error on its way to the terminal: only texts are left of it, and its kind.
#[derive(Debug)]
pub struct Failure {
    /// The sort of failure.
    pub kind: ErrorKind,
    message: String,
    excerpt: Option<String>,
    causes: Vec<String>,
    hint: Option<String>,
}

/// Longest line of a message in characters; what is longer is a value that somebody made to be so.
const LONGEST_LINE: usize = 1000;

/// Prints a warning.
pub fn warn(message: &str) {
    say(&format!("{}\n", legible(&format!("warning: {message}"))));
}

/// A line without what steers a terminal, cut where it is too long to be read.
fn legible(line: &str) -> String {
    let mut text: String = line.chars().take(LONGEST_LINE).collect();
    if text.len() < line.len() {
        text.push('…');
    }
    text.replace(|c: char| c.is_control() && c != '\t', "\u{fffd}")
}

/// Writes to standard error. When nobody reads it, nobody can be told.
pub fn say(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Writes data to standard output. Whoever closed it has seen enough.
///
/// # Errors
/// When it cannot be written, such as to a full disk.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    printed(output.write_all(text.as_bytes()).and_then(|()| output.flush()))
}

/// How printing went; a reader that has gone is no failure.
///
/// # Errors
/// Every other one.
pub fn printed(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::io("cannot write to standard output", &error))
        }
        _ => Ok(()),
    }
}

impl Failure {
    /// A failure of `kind`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), excerpt: None, causes: Vec::new(), hint: None }
    }

    /// A mistake in the arguments.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// What the operating system says.
    pub fn io(message: impl Into<String>, cause: &std::io::Error) -> Self {
        Self::caused(ErrorKind::Io, message, cause)
    }

    /// What a library says that has no kinds.
    pub fn caused(kind: ErrorKind, message: impl Into<String>, cause: &dyn Error) -> Self {
        Self { causes: chain(Some(cause)), ..Self::new(kind, message) }
    }

    /// The same as the cause of another message.
    pub fn under(mut self, message: impl Into<String>) -> Self {
        let cause = std::mem::replace(&mut self.message, message.into());
        if cause != self.message {
            self.causes.insert(0, cause);
        }
        self
    }

    /// The same with what to do next.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same with what to do next, unless it knows that better.
    pub fn or_hint(self, hint: impl FnOnce() -> String) -> Self {
        Self { hint: self.hint.or_else(|| Some(hint())), ..self }
    }

    /// The same with a place in the spec, above what it shows already.
    pub fn at(self, excerpt: String) -> Self {
        let excerpt = excerpt + self.excerpt.as_deref().unwrap_or_default();
        Self { excerpt: Some(excerpt), ..self }
    }

    /// The text for the terminal, which nothing in it can harm.
    pub fn rendered(&self) -> String {
        self.whole().lines().fold(String::new(), |text, line| text + &legible(line) + "\n")
    }

    fn whole(&self) -> String {
        let mut text = format!("error: {}\n", self.message);
        if let Some(excerpt) = self.excerpt.as_deref().map(str::trim_end).filter(|excerpt| !excerpt.is_empty()) {
            text += &format!("{excerpt}\n");
        }
        for cause in &self.causes {
            text += &format!("  cause: {cause}\n");
        }
        text + &self.hint.as_ref().map(|hint| format!("\nhint: {hint}\n")).unwrap_or_default()
    }

    /// Prints it.
    pub fn print(&self) {
        say(&self.rendered());
    }
}

impl<E: Fault> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            kind: error.kind(),
            message: error.to_string(),
            excerpt: error.excerpt(),
            causes: chain(error.source()),
            hint: error.hint(),
        }
    }
}

/// An error and its causes in one line.
pub fn in_line(error: &dyn Error) -> String {
    chain(Some(error)).join(": ")
}

/// Messages from `cause` on down; one that repeats the line before it is left out.
fn chain(cause: Option<&dyn Error>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut next = cause;
    while let Some(error) = next {
        lines.push(error.to_string());
        next = error.source();
    }
    lines.dedup();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_told_once_and_the_hint_last() {
        let inner = std::io::Error::other("connection refused");
        let failure = Failure::io("no answer", &inner).hint("start the registry").under("cannot resolve image `x`");
        let failure = failure.at("  --> a.yml:1:2\n".to_owned());
        let text = "error: cannot resolve image `x`\n  --> a.yml:1:2\n  cause: no answer\n  cause: connection refused\n\nhint: start the registry\n";
        assert_eq!((failure.rendered().as_str(), failure.kind), (text, ErrorKind::Io));
    }

    #[test]
    fn values_in_messages_are_cut_and_cannot_steer_the_terminal() {
        let failure = Failure::usage(format!("`\x1b[2J{}`", "x".repeat(5000)));
        let rendered = failure.rendered();
        assert!(rendered.starts_with("error: `\u{fffd}[2Jxx") && rendered.ends_with("x…\n"), "{rendered}");
        assert_eq!(rendered.chars().count(), LONGEST_LINE + 2);
    }

    #[test]
    fn a_message_is_no_cause_of_itself() {
        let failure = Failure::usage("no").under("no").or_hint(|| "try".to_owned()).or_hint(|| "not this".to_owned());
        assert_eq!(failure.rendered(), "error: no\n\nhint: try\n");
    }
}
