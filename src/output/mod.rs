//! What lkit shows of a system: LinuxKit's formats and file names, each artifact laid out on demand, at most once.

mod catalog;
mod error;
mod format;
mod media;
mod obstacle;
mod product;

pub use catalog::{Artifact, Catalog, Gunzip, Isolinux, System};
pub use error::Error;
pub use format::{Format, FormatFile};
pub use obstacle::Obstacle;
pub use product::Product;
