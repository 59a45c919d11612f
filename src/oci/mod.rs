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
//! - What is pushed goes to the registry of its name, never to a mirror, and its bytes are checked while they are sent.

mod access;
mod answer;
mod artifact_manifest;
mod attempts;
mod attestation;
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
mod index_manifest;
mod manifest;
mod media_type;
mod mirror;
mod patient;
mod push;
mod push_error;
mod reference;
mod referrers;
mod registry;
mod registry_error;
mod resolve;
mod resting;
mod server;
mod soci;
mod stream;
mod transport;
mod trust;
mod upload;
mod write;

pub use artifact_manifest::{
    ARTIFACTS_TYPE, ArtifactManifest, FILE_TYPE, LOCK_TYPE, MOST_PIECES, PIECE, PIECES_TYPE, lock_manifest,
};
pub(crate) use blocking::Blocking;
pub use closure::{Closure, Held, OCI_LAYOUT, layout_entry, layout_index};
pub use config::ImageConfig;
pub use credentials::{CredentialPlace, Credentials};
pub use daemon::{Daemon, DaemonError, DaemonProblem, daemon_image, daemon_layout};
pub use error::{Error, Problem};
pub use image::{Image, Layer};
pub use index_manifest::{EMPTY, INDEX_TYPE, IndexManifest, PARTS_TYPE, READS_TYPE, SUMMARIES_TYPE, empty_config};
pub use media_type::{Compression, OCI_INDEX, OCI_MANIFEST};
pub use mirror::{Endpoint, Mirror, ParseMirrorError, Scheme};
pub use push::Pusher;
pub use push_error::{PushError, PushProblem};
pub use reference::{ParseReferenceError, Reference, expanded};
pub use registry::Registry;
pub use registry_error::{Refusal, RegistryError};
pub use resolve::{Options, Pull, Resolver};
pub use soci::{
    Converted, LayerZtoc, SOCI_CONFIG, SOCI_V1, SOCI_V2, SociIndex, named_index, with_named_index, with_soci_indexes,
    ztocs_of,
};
pub(crate) use transport::{Setback, Transport};
pub use transport::{Timeouts, failed_exchange, provide_tls};
pub use trust::Trust;
pub use write::Pushed;

/// What names a blob; it stands one row below, since layouts are made of them.
pub use crate::blob::{Descriptor, DescriptorPlatform, Descriptors};
