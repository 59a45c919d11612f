//! Artifacts as files: a FUSE mount, or files on a disk; and as what clients of block devices ask for.
//!
//! ```text
//!              ┌─ Files ─── fuse::adapter ─── kernel ─── readers
//! artifacts ───┤  names, inodes, attributes; knows no protocol
//! root tree ───┘
//! artifacts ─── Exports ─── Door ─── clients
//! artifacts ─── export ─── NAME-kernel, NAME-initrd.img … or standard output
//! ```
//!
//! # A mount, step by step
//! 1. `lkit mount` makes a copy of itself the server with [`background::split`] and waits.
//! 2. The server makes the artifacts, calls [`mount`], then [`background::Ready::announce`]; only now does it leave the
//!    terminal, so errors and progress of everything before appear there, and its exit code is passed on. Where layers are
//!    still to be indexed, it mounts what can be read without them, and replaces that when all is there.
//! 3. The server stays in [`Session::wait`] until the mount is ended by anybody, or by a signal such as SIGTERM.
//!
//! # Invariants
//! - A mount is usable when [`mount`] returns. Of an [early catalog](crate::output::Catalog::early) what is awaited makes those
//!   wait who ask for it, and nobody else.
//! - An artifact holds files that only root may read, so where other users may enter only its owner reads it.
//! - No file that is served changes: the kernel may keep attributes and pages for as long as it knows the inode. Names
//!   stand for the same files for as long as the mount lives; only those in the root do not where that is asked for, and
//!   there the kernel asks each time ([`Shown::replace`]).
//! - A slow read never keeps a `stat` waiting.
//! - An exported file appears whole or not at all.
//! - A door is open before anything is fetched, and lays nothing out before a client asks for it.

mod activity;
mod address;
pub mod background;
mod block_map;
mod compress;
mod door;
mod error;
mod export;
mod exports;
mod file_error;
mod files;
mod fuse;
mod holders;
pub mod http;
mod identity;
mod interrupt;
mod ipxe;
mod mountpoint;
mod mounts;
pub mod nbd;
mod notify;
mod packed;
mod shown;
mod staged;
mod status;
mod stop;
mod temporary;
pub mod tftp;
mod tls;
mod unix_socket;
#[cfg_attr(not(target_os = "linux"), path = "vhost/elsewhere.rs")]
mod vhost;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub use vhost::fuzz;

pub use address::{Address, Entrance, ParseAddressError, Protocol};
pub use compress::Compression;
pub use door::{Door, DoorRules, Serving};
pub use error::Error;
pub use export::{Coding, Export, Exported, Step, check_target, export, export_to, export_to_stdout};
pub use exports::{Exports, Generation, RemoteRoot};
pub use file_error::FileError;
pub use files::{Attributes, Files, Listed};
pub use fuse::{MountOptions, Session, Shown, check_mount, lets_users_allow_other, mount};
pub use interrupt::Interrupts;
pub use mountpoint::{clear_dead, prepare, unmount};
pub use mounts::helper;
pub use notify::notify;
pub use status::{Status, Trouble};
pub use stop::{Stop, Stopper, Woken};
pub use temporary::{TemporaryMountPoint, sweep};
pub use tls::TlsFiles;

/// What is served; it stands one row below, with the catalog that lays it out.
pub use crate::output::Artifact;
