//! An EROFS file system of a tree. Nothing in it is compressed where it is laid out, and every file is one run of blocks;
//! what is written can be compressed.
//!
//! ```text
//! 0       1024         block 1                                       block of its own for each
//! zeros   superblock   inodes, attributes, ends of listings, links   listings   contents
//! ```
//!
//! # Invariants
//! - Inodes lie in the tree's order, so the root is the first, which its 16-bit field demands.
//! - Inodes and listings are made again when they are read; twelve bytes an inode are kept.
//!
//! # Format
//! The kernel's `fs/erofs/erofs_fs.h` and `Documentation/filesystems/erofs.rst`. All numbers are little-endian.

mod directory;
mod inode;
mod layout;
mod pack;
mod packed;
mod superblock;
mod xattr;

pub use layout::erofs;
pub use pack::pack_erofs;

/// A block in bytes: the page of every kernel that may mount the image.
const BLOCK: u64 = 4096;

/// An EROFS, in messages.
const NAME: &str = "an EROFS";
