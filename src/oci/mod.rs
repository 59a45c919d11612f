//! From an image's name to its manifest, image config and layer descriptors: layouts, the cache, registries.
//!
//! ```text
//! Reference ── layouts, by annotation ──┐
//!           ── the cache, by its names ─┼─ image index ── platform ── manifest ── Image
//!           ── mirrors, registry ───────┘                             config
//! ```
//!
//! # Invariants
//! - Every manifest and image config is checked against its digest, and bounded in size, before it is parsed.
//! - What a registry sent is in the cache before it is used, so that a second look needs no network.
//! - No layer is read here: layers are fetched, verified and kept by who reads them.

mod access;
mod answer;
mod attempts;
mod blocking;
mod body;
mod closure;
mod config;
mod credentials;
mod daemon;
mod door;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod image;
mod manifest;
mod media_type;
mod mirror;
mod patient;
mod reference;
mod registry;
mod registry_error;
mod resolve;
mod server;
mod stream;
mod transport;
mod trust;

pub use closure::{Closure, OCI_LAYOUT, layout_index};
pub use config::ImageConfig;
pub use credentials::{CredentialPlace, Credentials};
pub use daemon::{Daemon, DaemonError, DaemonProblem, daemon_image};
pub use error::{Error, Problem};
pub use image::{Image, Layer};
pub use media_type::Compression;
pub use mirror::{Endpoint, Mirror, ParseMirrorError, Scheme};
pub use reference::{ParseReferenceError, Reference, expanded};
pub use registry::Registry;
pub use registry_error::RegistryError;
pub use resolve::{Options, Pull, Resolver};
pub use transport::{Timeouts, provide_tls};
pub use trust::Trust;

/// What names a blob; it stands one row below, since layouts are made of them.
pub use crate::blob::{Descriptor, DescriptorPlatform, Descriptors};
