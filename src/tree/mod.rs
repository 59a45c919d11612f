//! The root as one tree: layers merged in order, whiteouts applied, hard links kept.
//!
//! ```text
//! layer entries ──merge──▶ TreeBuilder ──graft──▶ TreeBuilder ──finish──▶ Tree
//!                          one an image           the root               sorted, compact
//! ```
//!
//! # Invariants
//! - Content is named, never read.
//! - A tree depends on what was inserted and in which order, on nothing else.
//! - A finished tree costs under 100 bytes a file and its name.

mod build;
mod compact;
mod difference;
mod error;
mod freeze;
mod graft;
mod inode;
mod merge;
mod names;
mod packing;
mod resolve;
mod walk;

pub use build::{Node, TreeBuilder};
pub use difference::{Aspect, Difference, differences};
pub use error::Error;
pub use freeze::Tree;
pub use inode::{Content, Inode, InodeId};
pub use walk::{EntryId, Walk};
