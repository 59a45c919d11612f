//! All integration tests: one program, a module for each thing under test, what they share in [`common`].
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod boot;
mod boots;
mod catalog;
mod cli;
mod common;
mod deviations;
mod disks;
mod doors;
mod every_field;
mod expected;
mod filesystems;
mod fuse;
mod golden;
mod guest_init;
mod hostile;
mod layer;
mod loaders;
mod media;
mod push;
mod registry;
mod rootfs;
mod spec;
mod store;
mod tidy;
