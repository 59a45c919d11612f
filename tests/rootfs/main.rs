//! Whole roots: golden ones, and what assembling one reads.

#[path = "../common/mod.rs"]
mod common;
mod golden;
#[path = "../common/layout.rs"]
mod layout;
mod lazy;
#[path = "../common/properties.rs"]
mod properties;
mod system;
mod tree_model;
mod tree_props;
