//! Where in the text of a spec a value stands, so that a later stage can point at it.

/// A place in one of the texts a spec was read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// Number of the text, in the order they were given.
    pub file: u16,
    /// Line, from 1; 0 for a value that stands in no text (a default).
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Length in characters, for the marker below the line.
    pub length: u32,
}

impl Place {
    /// Length of what goes on over the end of its line.
    pub const SEVERAL_LINES: u32 = u32::MAX;
}

/// A value with its place. Compares by value alone.
#[derive(Clone, Debug, Default)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub place: Place,
}

impl<T> Located<T> {
    /// A value that stands in no text.
    pub fn nowhere(value: T) -> Self {
        Self { value, place: Place::default() }
    }
}

impl<T: PartialEq> PartialEq for Located<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}
