//! What lkit shows of a system: LinuxKit's formats and file names, each artifact laid out on demand, at most once.

mod artifact;
mod catalog;
mod error;
mod format;
mod media;
mod obstacle;
mod outlook;
mod product;
mod root_disk;

pub use artifact::Artifact;
pub use catalog::{Catalog, Gunzip, Isolinux, System};
pub use error::Error;
pub use format::{CMDLINE_SUFFIX, DiskFormat, Format, FormatFile, KERNEL_SUFFIX, PLAIN_NAMES, Start};
pub use obstacle::Obstacle;
pub use product::Product;
pub use root_disk::RootFs;
