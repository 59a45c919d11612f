//! lkit: the house, its rooms and its laws. (Filled in as rooms are built.)

pub mod base;
pub mod extent;
pub mod format;
pub mod layer;
pub mod output;
pub mod spec;
pub mod tree;
