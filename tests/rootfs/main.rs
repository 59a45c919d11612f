//! Whole roots: golden ones, and what assembling one reads.

#[path = "../common/mod.rs"]
mod common;
mod golden;
mod system;
