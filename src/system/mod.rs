//! Specs in, a system out: texts are read, images found, layers made ready, the root put together.
//!
//! ```text
//! Input ──spec──▶ ImageName ──images──▶ trees ──rootfs──▶ root ──output──▶ System
//! Origins: where all of it comes from      Options: what is made of it
//!
//! Asked ──pull──▶ cache ──push──▶ registries      layouts, archives ──import──▶ cache ──archive──▶ one file
//! ```
//!
//! # Invariants
//! - No environment variable is read and nothing is printed: callers say where things are with [`Origins`], and hear
//!   what happens from a [`Monitor`](crate::base::Monitor).
//! - No content of a layer that has an index is read.
//! - An error about the spec knows its place there.

mod archive;
mod artifact_pull;
mod artifact_push;
mod asked;
mod boards;
mod difference;
mod enclave;
mod error;
mod foreign;
mod forget;
mod held;
mod image_name;
mod images;
mod import;
mod index_push;
mod index_target;
mod input;
mod load;
mod loader;
mod lock_file;
mod makeup;
mod names;
mod options;
mod origins;
pub mod package;
mod problem;
mod published;
mod pull;
mod push;
mod reads;
mod shown;
mod stock;
mod stored;
mod supply;
mod tags;
mod threads;
mod touched;
mod watch;
mod watch_image;

use archive::pour;
pub use archive::{Archived, Packed, archive};
pub use artifact_pull::load_artifacts;
pub use artifact_push::{PushedArtifacts, lock_beside, push_artifacts};
pub use asked::Asked;
pub use difference::{Changed, ChangedArtifact, Differences, Side, differences, lock_differences};
pub use enclave::{Application, kernel_image_spec};
pub use error::Error;
pub use foreign::Soci;
pub use forget::forget;
pub use image_name::ImageName;
pub use import::{Imported, import, import_stream};
pub use index_push::{IndexPushed, push_indexes};
pub use index_target::IndexTarget;
pub use input::{Input, name_of};
pub use load::{Recorded, System, UsedImage, load, load_image, load_parsed, lock, parse, resolved_text};
pub use makeup::{Artifacts, ImageShare, LayerUse, Makeup, Share, artifacts, largest, makeup};
pub use options::{Early, OnEarly, Options};
pub use origins::{IndexPlace, LoaderOrigin, Loaders, LocalSources, Origins, Prefetch};
pub use problem::Problem;
pub use published::{IndexFound, Subjects, list_indexes, pull_indexes};
pub use pull::{Pull, Pulled, pull};
pub use push::{PushedImage, push};
pub use reads::{read_list, write_read_list};
pub use stock::store;
pub use stored::Stored;
pub use watch::{Change, Watch};
pub use watch_image::ImageWatch;
