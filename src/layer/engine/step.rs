//! What one step of a decoder did.

use crate::layer::index::Mark;

/// What one step did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// Bytes read from the input.
    pub(crate) consumed: usize,
    /// Bytes written to the output.
    pub(crate) produced: usize,
    /// Set when the decoder now stands at such a place.
    pub(crate) mark: Option<Mark>,
}

impl Step {
    /// A step that only read.
    pub(crate) const fn consumed(consumed: usize) -> Self {
        Self { consumed, produced: 0, mark: None }
    }
}
