//! The ISO that hands a machine its metadata, as `linuxkit metadata create` and `linuxkit run --data` make it.
//!
//! # Format
//! LinuxKit's package `metadata` mounts each CD, and each disk whose volume is called `cidata`, and takes the file
//! `user-data`, else `config`, of its root. With Rock Ridge and Joliet names, so that the name is in lower case everywhere.

use std::sync::Arc;

use super::Obstacle;
use crate::base::Metadata;
use crate::extent::SharedSource;
use crate::format::{Iso, IsoOptions, IsoParts};
use crate::tree::{Node, TreeBuilder};

/// The file.
const CONFIG: &[u8] = b"config";

/// What a machine has the ISO on, which it is looked for by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataVolume {
    /// A CD; linuxkit calls the volume as the file.
    Cd,
    /// A disk.
    Disk,
}

/// An ISO whose one file `config` holds `data`.
///
/// # Errors
/// When the data leaves what an ISO can hold.
pub fn metadata_iso(data: &[u8], volume: MetadataVolume) -> Result<SharedSource, Obstacle> {
    let mut tree = TreeBuilder::new();
    tree.insert(CONFIG, Node::Generated(Metadata::file(), data))?;
    let volume_id = match volume {
        MetadataVolume::Cd => "config",
        MetadataVolume::Disk => "cidata",
    };
    let options = IsoOptions { volume_id, ..IsoOptions::default() };
    Ok(Iso::new(Arc::new(tree.finish()), options)?.finish(IsoParts::default()))
}
