//! Errors as a person sees them: message, place, causes, hint; on standard error, each thing once.

use std::error::Error;
use std::fmt::Write as _;

use crate::base::{ErrorKind, Fault};

/// An error on its way to the terminal.
pub type Failure = Box<dyn Fault>;

/// Prints an error with its place, its causes and its hint.
pub fn print(failure: &Failure) {
    eprint!("{}", rendered(failure.as_ref()));
}

/// Prints a warning.
pub fn warn(message: &str) {
    eprintln!("warning: {message}");
}

/// The text of an error.
pub fn rendered(failure: &dyn Fault) -> String {
    let mut text = format!("error: {failure}\n");
    if let Some(excerpt) = failure.excerpt() {
        text += excerpt.trim_end_matches('\n');
        text.push('\n');
    }
    let mut cause = failure.source();
    while let Some(error) = cause {
        let line = error.to_string();
        if !line.is_empty() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  cause: {line}");
        }
        cause = error.source();
    }
    if let Some(hint) = failure.hint() {
        let _ = writeln!(text, "\nhint: {hint}");
    }
    text
}

/// An error that the command line itself finds.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    excerpt: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Problem {
    /// A problem of `kind`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, excerpt: None, source: None }
    }

    /// A mistake in the arguments.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// What another part says, under a message of our own.
    pub fn wrap(message: impl Into<String>, cause: impl Fault) -> Self {
        let (kind, hint, excerpt) = (cause.kind(), cause.hint(), cause.excerpt());
        Self { kind, message: message.into(), hint, excerpt, source: Some(Box::new(cause)) }
    }

    /// What the operating system says.
    pub fn io(message: impl Into<String>, cause: std::io::Error) -> Self {
        Self::caused(ErrorKind::Io, message, cause)
    }

    /// What a library says that has no kinds.
    pub fn caused(kind: ErrorKind, message: impl Into<String>, cause: impl Error + Send + Sync + 'static) -> Self {
        let source: Box<dyn Error + Send + Sync> = Box::new(cause);
        Self { source: Some(source), ..Self::new(kind, message) }
    }

    /// The same with what to do next.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same with a place in the spec.
    pub fn at(self, excerpt: String) -> Self {
        Self { excerpt: Some(excerpt), ..self }
    }
}

impl Fault for Problem {
    fn kind(&self) -> ErrorKind {
        self.kind
    }

    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }

    fn excerpt(&self) -> Option<String> {
        self.excerpt.clone()
    }
}

impl<E: Fault> From<E> for Failure {
    fn from(error: E) -> Self {
        Box::new(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_told_once_and_the_hint_last() {
        let inner = Problem::new(ErrorKind::Unreachable, "connection refused").hint("start the registry");
        let outer = Problem::wrap("cannot resolve image `x`", inner).at("  --> a.yml:1:2\n".to_owned());
        let text = "error: cannot resolve image `x`\n  --> a.yml:1:2\n  cause: connection refused\n\nhint: start the registry\n";
        assert_eq!((rendered(&outer), outer.kind()), (text.to_owned(), ErrorKind::Unreachable));
    }
}
