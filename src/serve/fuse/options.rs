//! How a mount is made.

/// How a mount is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MountOptions {
    /// Other users may look in, as the files' modes allow.
    pub allow_other: bool,
    /// Programs in the mount are not run.
    pub no_exec: bool,
    /// Permissions of artifacts. Without them everybody who may enter reads artifacts, but with `allow_other` only their
    /// owner: an artifact holds all files of the tree, those too that others may not read.
    pub artifact_mode: Option<u16>,
    /// Other files may take the place of these, with [`Shown::replace`](super::Shown::replace). The kernel then asks what a name in the root
    /// stands for whenever one is used; else it remembers it.
    pub can_change: bool,
}

impl MountOptions {
    /// Permissions of artifacts where nobody chooses them.
    pub(super) const fn mode_of_artifacts(self) -> u16 {
        match (self.artifact_mode, self.allow_other) {
            (Some(mode), _) => mode,
            (None, true) => 0o400,
            (None, false) => 0o444,
        }
    }
}
