//! The ISO that hands a machine its metadata, as `linuxkit metadata create` and `linuxkit run --data` make it.
//!
//! # Format
//! LinuxKit's package `metadata` mounts each CD and takes the file `user-data`, else `config`, of its root. The volume is
//! called as the file is. With Rock Ridge and Joliet names, so that the name is in lower case everywhere.

use std::sync::Arc;

use super::Obstacle;
use crate::base::Metadata;
use crate::extent::SharedSource;
use crate::format::{Iso, IsoOptions, IsoParts};
use crate::tree::{Node, TreeBuilder};

/// The file, and the volume.
const CONFIG: &str = "config";

/// An ISO whose one file `config` holds `data`.
///
/// # Errors
/// When the data leaves what an ISO can hold.
pub fn metadata_iso(data: &[u8]) -> Result<SharedSource, Obstacle> {
    let mut tree = TreeBuilder::new();
    tree.insert(CONFIG.as_bytes(), Node::Generated(Metadata::file(), data))?;
    let options = IsoOptions { volume_id: CONFIG, ..IsoOptions::default() };
    Ok(Iso::new(Arc::new(tree.finish()), options)?.finish(IsoParts::default()))
}
