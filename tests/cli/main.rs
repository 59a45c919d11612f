//! The program as people use it: mounts, builds, refusals, its cache, and what is left when it is killed.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/layout.rs"]
mod layout;
#[path = "../common/registry.rs"]
mod registry;

mod agreement;
mod damage;
mod ends;
mod inputs;
mod lazy;
mod memory;
mod outputs;
mod pulls;
mod refusals;
mod system;
