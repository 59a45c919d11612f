//! What lkit shows of a system: LinuxKit's formats and file names, each artifact laid out on demand, at most once.

mod artifact;
mod board;
mod catalog;
mod cbor;
mod enclave;
mod error;
mod format;
mod media;
mod metadata;
mod obstacle;
mod outlook;
mod packed_root;
mod product;
mod root_disk;
mod rpi3;
mod signer;

pub use artifact::Artifact;
pub use board::Board;
pub use catalog::{Catalog, Completion, Gunzip, Isolinux, System};
pub use enclave::{Enclave, Measurements, Pcr};
pub use error::Error;
pub use format::{CMDLINE_SUFFIX, DiskFormat, Format, FormatFile, KERNEL_SUFFIX, PLAIN_NAMES, Start};
pub use metadata::{MetadataVolume, metadata_iso};
pub use obstacle::Obstacle;
pub use packed_root::PackedRoot;
pub use product::Product;
pub use root_disk::RootFs;
pub use signer::{Signer, SignerError, SigningCertificate};
