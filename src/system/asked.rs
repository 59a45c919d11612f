//! Images that a command is about.

use crate::base::Platform;
use crate::oci::Reference;

/// An image, and for what it is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its name.
    pub reference: Reference,
    /// Platforms it is wanted for; all when there are none.
    pub platforms: Vec<Platform>,
}
