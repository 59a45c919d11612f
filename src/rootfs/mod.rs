//! From a spec and its images to kernel, command line, microcode and the root as one tree.
//!
//! ```text
//! kernel ─ init images ─ volumes ─ onboot ─ onshutdown ─ services ─ files ──▶ root tree
//!    in this order, later ones win           │                                  │
//!                                       config.json, runtime.json          boot/ taken out
//! ```
//!
//! # Invariants
//! - No content of a layer is read, but a command line that a layer brings, and a kernel's first bytes when it is to be
//!   decompressed, and the databases of packages when there is to be a bill of materials.
//! - The same spec and images give the same tree, whatever the clock and the environment.
//!
//! # Format
//! LinuxKit's layout of a root (`moby/build/build.go`, `moby/build/image.go`).

mod assemble;
mod bill;
mod boot;
mod bundle;
mod config;
mod device_trees;
mod devices;
mod enclave;
mod error;
mod files;
mod filter;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod host_file;
mod images;
mod init;
mod json;
mod kernel;
mod merge;
mod modules;
mod mounts;
mod namespaces;
mod options;
mod overlay;
mod process;
mod runtime_json;
#[cfg(test)]
mod sample;
mod supply;
mod user;
mod volumes;
mod work;

pub use assemble::{Assembly, assemble};
pub use device_trees::DeviceTree;
pub use error::{Cause, Error};
pub use host_file::{HostFile, file_stamp, host_path};
pub use images::{boot_images, references, stored_references};
pub use modules::{Driver, Modules, ModulesError};
pub use options::{BillOptions, Options, Part};
pub use supply::{SourceImage, StoredImage, Supply};
