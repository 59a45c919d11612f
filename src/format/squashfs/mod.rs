//! A squashfs file system of a tree: a root file system that every kernel of LinuxKit reads. Nothing in it is compressed
//! where it is laid out; what is written can be.
//!
//! ```text
//! 0            96         inode table        directory table     fragment table   id table   xattr tables
//! superblock   contents   metadata blocks    metadata blocks     if compressed    …          …
//! ```
//!
//! # Invariants
//! - The size of an inode follows from its type and size, so a first pass knows where each one lies.
//! - Inodes and directory listings are made again when they are read; twelve bytes an inode are kept.
//!
//! # Format
//! Squashfs 4.0: the kernel's `fs/squashfs/squashfs_fs.h`. All numbers are little-endian.

mod data;
mod directory;
mod inode;
mod layout;
mod metadata;
mod owner;
mod pack;
mod superblock;
mod xattr;

pub use layout::squashfs;
pub use pack::pack_squashfs;
