//! The extended attributes of a file, shared by all files that have the same.

use std::ops::Deref;
use std::sync::Arc;

/// An extended attribute: full name (`security.capability`) and value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Xattr {
    /// Name with its namespace, no NUL.
    pub name: Box<[u8]>,
    /// Value, any bytes.
    pub value: Box<[u8]>,
}

/// A set of attributes, sorted by name. A copy is another reference to the same set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Xattrs(Option<Arc<[Xattr]>>);

impl Xattrs {
    /// Longest name in bytes (`XATTR_NAME_MAX` in Linux' `limits.h`).
    pub const NAME_MAX: usize = 255;
    /// Largest value in bytes (`XATTR_SIZE_MAX`).
    pub const VALUE_MAX: usize = 65_536;
    /// Most bytes of all names of one file, each with a NUL behind it (`XATTR_LIST_MAX`).
    pub const LIST_MAX: usize = 65_536;

    /// A number that sets have in common only when they are the same in memory; `None` for an empty set.
    pub fn address(&self) -> Option<usize> {
        self.0.as_ref().map(|set| Arc::as_ptr(set).addr())
    }
}

impl Deref for Xattrs {
    type Target = [Xattr];

    fn deref(&self) -> &[Xattr] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl FromIterator<Xattr> for Xattrs {
    fn from_iter<I: IntoIterator<Item = Xattr>>(set: I) -> Self {
        let set: Arc<[Xattr]> = set.into_iter().collect();
        Self((!set.is_empty()).then_some(set))
    }
}
