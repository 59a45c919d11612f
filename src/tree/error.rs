//! Why entries cannot be put into a tree.

use crate::base::{ErrorKind, Fault, printable};

/// What is wrong with a layer's entries, or with a path to be inserted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A parent of the path is a file.
    #[error("`{path}` lies below `{parent}`, which is not a directory")]
    ParentNotDirectory {
        /// The path.
        path: String,
        /// The file above it.
        parent: String,
    },
    /// Following symbolic links in the path does not end.
    #[error("too many symbolic links in the parents of `{0}`")]
    LinkLoop(String),
    /// There are far more directories that only paths name than there are entries.
    #[error("too many directories have no entry of their own, those above `{0}` among them")]
    TooManyParents(String),
    /// A hard link names a path that no layer so far has.
    #[error("hard link `{path}` names `{target}`, which does not exist")]
    DanglingHardLink {
        /// The link.
        path: String,
        /// What it names.
        target: String,
    },
    /// A hard link names a directory.
    #[error("hard link `{path}` names the directory `{target}`")]
    HardLinkToDirectory {
        /// The link.
        path: String,
        /// What it names.
        target: String,
    },
    /// The path names the root itself where something else than a directory would stand.
    #[error("`{0}` would replace the root directory")]
    ReplacesRoot(String),
    /// A name that no Linux file system can hold.
    #[error("`{0}` has a name over 255 bytes, or with a NUL")]
    BadName(String),
    /// More than 2^32 inodes, or 4 GiB of names.
    #[error("more entries than a tree can hold")]
    TooLarge,
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::TooLarge => ErrorKind::Unsupported,
            Self::ParentNotDirectory { .. }
            | Self::LinkLoop(_)
            | Self::TooManyParents(_)
            | Self::DanglingHardLink { .. }
            | Self::HardLinkToDirectory { .. }
            | Self::ReplacesRoot(_)
            | Self::BadName(_) => ErrorKind::Corrupt,
        }
    }
}

/// Most bytes of a path that a message shows.
const LONGEST_SHOWN: usize = 200;

/// A path for a message; a long one is cut.
pub(super) fn shown(path: &[u8]) -> String {
    let start = &path[..path.len().min(LONGEST_SHOWN)];
    format!("{}{}", printable(start), if start.len() < path.len() { "…" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_messages_are_escaped() {
        let error = Error::LinkLoop(shown("é\u{1b}[2J\u{202e}".as_bytes()));
        assert_eq!(error.to_string(), "too many symbolic links in the parents of `é\\x1b[2J\\u{202e}`");
    }
}
