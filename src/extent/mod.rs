//! Bytes by reference: sources, and the extent maps that lay them out.
//!
//! ```text
//!            0         110          4096                     size
//! map        | inline  | zeros      | source #3 @ 81920      |
//!              arena      nothing     decoded when it is read
//! ```

mod likeness;
mod map;
mod origin;
mod paged;
mod places;
mod sink;
mod slice;
mod source;
mod streams;

pub use likeness::{Compared, Likeness, Span, likeness, origins};
pub use map::{Extent, ExtentMap, MapBuilder};
pub use origin::{Origin, Piece};
pub use paged::{PagedLayout, PagedMap};
pub use places::{Label, Places, Placing};
pub use sink::{Measure, Sink};
pub use slice::{Bytes, Slice, Zeros};
pub use source::{ReadError, SharedSource, Source, Traced, Visit, read_through, trace_as};
pub use streams::Streams;
