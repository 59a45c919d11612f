//! Whole roots: golden ones, and what assembling one reads.

mod golden;
mod lazy;
mod system;
mod tree_model;
mod tree_props;
