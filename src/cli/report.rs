//! Errors as a person sees them: message, place, causes, hint; on standard error, each thing once.

use std::error::Error;
use std::io::{self, Write as _};
use std::path::Path;

use super::colour::for_standard_error;
use crate::base::{ErrorKind, Fault, printable_line, shell_line_on};

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

/// Prints a warning, which is one line.
pub fn warn(message: &str) {
    write_error(&for_standard_error(legible(&format!("warning: {message}"))));
}

/// Prints a warning with the place in a spec that it is about.
pub fn warn_at(message: &str, excerpt: &str) {
    let text = legible(&format!("warning: {message}")) + &legible_lines(excerpt.trim_end());
    write_error(&for_standard_error(text));
}

/// A line with its end: nothing in it steers a terminal or begins another line, and it is cut where it is too long.
fn legible(line: &str) -> String {
    let end = line.char_indices().nth(LONGEST_LINE).map(|(end, _)| end);
    format!("{}{}\n", printable_line(&line[..end.unwrap_or(line.len())]), if end.is_some() { "…" } else { "" })
}

fn legible_lines(text: &str) -> String {
    text.lines().map(legible).collect()
}

/// Writes lines to standard error, and nothing of what they contain steers a terminal.
pub fn say(text: &str) {
    write_error(&legible_lines(text));
}

/// Writes to standard error. When that is closed, the text is lost and the program goes on.
fn write_error(text: &str) {
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

    /// What the operating system says of a file that is to be written; a directory that is missing is named with its mend.
    pub fn writing(file: &Path, cause: &std::io::Error) -> Self {
        let failure = Self::io(format!("cannot write `{}`", file.display()), cause);
        match (cause.kind(), file.parent()) {
            (io::ErrorKind::NotFound, Some(dir)) => {
                failure.hint(format!("make the directory with `{}`", shell_line_on(&["mkdir", "-p"], dir)))
            }
            _ => failure,
        }
    }

    /// What a library says that has no kinds.
    pub fn caused(kind: ErrorKind, message: impl Into<String>, cause: &dyn Error) -> Self {
        Self { causes: chain(Some(cause)), ..Self::new(kind, message) }
    }

    /// The same as a failure of another sort.
    pub fn of_kind(self, kind: ErrorKind) -> Self {
        Self { kind, ..self }
    }

    /// The same as the cause of another message.
    pub fn under(mut self, message: impl Into<String>) -> Self {
        self.causes.insert(0, std::mem::replace(&mut self.message, message.into()));
        self
    }

    /// The same with a place in the spec.
    pub fn at(self, excerpt: String) -> Self {
        Self { excerpt: Some(excerpt), ..self }
    }

    /// The same with what to do next.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The text for the terminal, which nothing in it can harm.
    pub fn rendered(&self) -> String {
        let mut text = legible(&format!("error: {}", self.message));
        text += &legible_lines(self.excerpt.as_deref().unwrap_or_default().trim_end());
        for cause in &self.causes {
            text += &legible(&format!("  cause: {cause}"));
        }
        text + &self.hint.as_ref().map(|hint| format!("\n{}", legible(&format!("hint: {hint}")))).unwrap_or_default()
    }

    /// Prints it.
    pub fn print(&self) {
        write_error(&for_standard_error(self.rendered()));
    }
}

impl<E: Fault> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            kind: error.kind(),
            message: error.to_string(),
            excerpt: error.excerpt(),
            causes: chain(error.source()),
            hint: error.advice(),
        }
    }
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
        let failure = Failure::io("no answer", &inner).hint("start the registry");
        let failure = Failure { excerpt: Some("  --> a.yml:1:2\n".to_owned()), ..failure };
        let text = "error: no answer\n  --> a.yml:1:2\n  cause: connection refused\n\nhint: start the registry\n";
        assert_eq!((failure.rendered().as_str(), failure.kind), (text, ErrorKind::Io));
    }

    #[test]
    fn values_in_messages_are_cut_and_cannot_steer_the_terminal() {
        let failure = Failure::usage(format!("`\x1b[2J{}`", "x".repeat(5000)));
        let rendered = failure.rendered();
        assert!(rendered.starts_with(r"error: `\x1b[2Jxx") && rendered.ends_with("x…\n"), "{rendered}");
        assert_eq!(rendered.chars().count(), LONGEST_LINE + r"\x1b".len() - 1 + "…\n".chars().count());
    }

    #[test]
    fn a_line_feed_in_a_value_begins_no_line_of_its_own() {
        let inner = std::io::Error::other("a\rb\u{9b}2J");
        let failure = Failure::io("no file `x\nhint: run this`", &inner).hint("use `\u{202e}y\n`");
        let text =
            "error: no file `x\\x0ahint: run this`\n  cause: a\\x0db\\u{009b}2J\n\nhint: use `\\u{202e}y\\x0a`\n";
        assert_eq!(failure.rendered(), text);
    }
}
