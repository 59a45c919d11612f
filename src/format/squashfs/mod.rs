//! A squashfs file system of a tree, nothing in it compressed: a root file system that every kernel of LinuxKit reads.
//!
//! ```text
//! 0            96         inode table        directory table     id table   xattr tables
//! superblock   contents   metadata blocks    metadata blocks     …          …
//! ```
//!
//! # Invariants
//! - The size of an inode follows from its type and size, so a first pass knows where each one lies.
//! - Inodes and directory listings are made again when they are read; twelve bytes an inode are kept.
//!
//! # Format
//! Squashfs 4.0: the kernel's `fs/squashfs/squashfs_fs.h`. All numbers are little-endian.

mod directory;
mod inode;
mod layout;
mod metadata;
mod owner;
mod superblock;
mod xattr;

pub use layout::squashfs;
