//! Values that every other module shares; no input or output here.

mod attempt;
mod calendar;
mod descriptors;
mod digest;
mod ending;
mod kind;
mod memory;
mod metadata;
mod monitor;
mod nearest;
mod platform;
mod printable;
mod spare;
mod units;
mod url;
mod workers;
mod xattrs;

pub use attempt::Attempt;
pub use calendar::Civil;
pub use descriptors::{command, raise_open_files};
pub use digest::{Digest, Hasher, ParseDigestError};
pub use ending::Ending;
pub use kind::{ErrorKind, Fault, in_line};
pub use memory::{bound_heap, reserve_now, trim_heap};
pub use metadata::{FileKind, Metadata};
pub use monitor::{Event, Monitor, Silent};
pub use nearest::nearest;
pub use platform::{ParsePlatformError, Platform};
pub use printable::{printable, printable_line, steers};
pub use spare::{Lent, Spare};
pub use units::{GIB, KIB, MIB, SECTOR, align_up, in_memory, parse_size, shown_size};
pub use url::{is_url, shown_url, url_file_name};
pub use workers::{Workers, processors};
pub use xattrs::{Xattr, Xattrs};
