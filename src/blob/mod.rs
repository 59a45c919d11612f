//! Content-addressed blobs on disk: the cache, which is itself an OCI image layout, and further layouts to look into.
//!
//! ```text
//! cache/
//!   oci-layout  index.json         what skopeo and linuxkit read: names -> manifests
//!   blobs/sha256/<hex>             blobs, whole or not there
//!   lkit/index/<key>               small files derived from blobs, such as layer indexes
//!   lkit/lock/<hex>                held while a blob or what derives from it is made
//!   lkit/sparse/<hex>              blobs that are here in part, as ranges of them were read
//!   lkit/daemon/<hex>.tar          what a docker daemon sent for an image, by its id there
//!   lkit/tmp/<pid>-<n>             blobs on their way in; swept when their writer is gone
//! ```
//!
//! # Invariants
//! - A file under `blobs` or `lkit/index` appears whole by a rename and is never modified, only removed or replaced.
//! - Nothing under `lkit/tmp` outlives its writer and the next [`Store::open`]; nothing under `lkit/part` its blob and a
//!   week.
//! - Whatever is in the place of a file of the cache, it is replaced or an error: nothing waits for it, and no more of it
//!   is read than such a file may have. A cache that cannot be written to is used as far as nothing must be added.
//! - A process that reads a blob or an index locks its file (shared). A process that makes room in the cache removes only
//!   files that it can lock alone.
//! - Everything here is safe to delete at any time by hand: it is made again.
//! - Which blobs are *right* is settled by whoever computes their digest: [`Store::put`] and [`Store::small`] for small
//!   ones, the layer pass for layers. A size that is wrong is noticed here.

mod adopt;
mod archive;
mod archives;
mod descriptor;
mod documents;
mod error;
mod evict;
mod fetch;
mod folder;
mod layout;
mod layout_write;
mod lock;
mod part;
mod ranged;
mod read;
mod record;
mod refs;
mod regular;
mod room;
mod sparse;
mod spool;
mod stash;
mod store;
mod strides;
mod sweep;
mod traffic;
mod transient;
mod usage;
mod write;

pub use archives::Archives;
pub use descriptor::{Descriptor, DescriptorPlatform, Descriptors};
pub use documents::Named;
pub use error::{Cause, Error};
pub use fetch::Fetch;
pub use layout::Layout;
pub use lock::Guard;
pub use part::BlobWriter;
pub use ranged::{AnyBlob, RangedBlob};
pub use read::{Blob, BlobReader};
pub use record::{Note, Read, Record};
pub use regular::open_regular;
pub use spool::Spool;
pub use store::{Keep, Store};
pub use sweep::Tally;
pub use traffic::{Fetched, Traffic};
pub use usage::{Contents, Kept};
