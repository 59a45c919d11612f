//! The id table: users and groups, which inodes name by number.
//!
//! # Format
//! `squashfs_fs.h`: `no_ids` has 16 bits, an id 32.

use std::collections::BTreeSet;

use crate::format::Error;
use crate::format::limits::ids;
use crate::tree::Tree;

/// Most owners and groups.
const LARGEST: usize = u16::MAX as usize;

/// Every owner and group of a tree once, ascending.
pub(super) struct Owners(Vec<u32>);

impl Owners {
    pub fn of(tree: &Tree) -> Result<Self, Error> {
        let of_inode = |metadata: &crate::base::Metadata| [metadata.uid, metadata.gid];
        let mut owners = BTreeSet::new();
        for id in ids(tree) {
            owners.extend(of_inode(&tree.inode(id).metadata));
            if owners.len() > LARGEST {
                let limit = LARGEST as u64;
                return Err(Error::TooMany { what: "different owners", format: "a squashfs", limit });
            }
        }
        Ok(Self(owners.into_iter().collect()))
    }

    /// The number of an owner of the tree.
    pub fn number(&self, owner: u32) -> u16 {
        let place = self.0.binary_search(&owner).expect("the table has every owner of the tree");
        u16::try_from(place).expect("larger tables are refused")
    }

    pub fn count(&self) -> u16 {
        u16::try_from(self.0.len()).expect("larger tables are refused")
    }

    pub fn encode(&self) -> Vec<u8> {
        self.0.iter().flat_map(|owner| owner.to_le_bytes()).collect()
    }
}
