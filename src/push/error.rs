//! What goes wrong while something is pushed.

use std::error::Error as StdError;

use crate::base::{ErrorKind, Fault};
use crate::extent::ReadError;

/// Why something was not pushed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error with a one-line message.
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, source: None }
    }

    /// A mistake in what was asked for.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// The same with what to do next.
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same as a failure of another sort.
    pub(super) fn of_kind(self, kind: ErrorKind) -> Self {
        Self { kind, ..self }
    }

    /// The same without its cause, for a second one who runs into it.
    pub(super) fn again(&self) -> Self {
        Self { kind: self.kind, message: self.message.clone(), hint: self.hint.clone(), source: None }
    }

    /// Whether it says what to do.
    pub(super) const fn hint_is_set(&self) -> bool {
        self.hint.is_some()
    }

    /// The same with its cause.
    pub(super) fn because(self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// What is to be pushed cannot be read.
    pub(super) fn unreadable(name: &str, error: ReadError) -> Self {
        let hint = error.hint();
        Self { hint, ..Self::new(error.kind(), format!("cannot read `{name}`")).because(error) }
    }

    /// The user ended it.
    pub(super) fn interrupted(name: &str) -> Self {
        Self::new(ErrorKind::Interrupted, format!("interrupted while `{name}` was pushed"))
    }
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        self.kind
    }

    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}
