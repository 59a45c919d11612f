//! Layers: a blob becomes seekable by one pass over it, and shows its files as a table of contents.

mod entry;

pub use entry::{Body, Entry, Run};
