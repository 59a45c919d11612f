//! The program as people use it: mounts, builds, refusals, its cache, and what is left when it is killed.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/layout.rs"]
mod layout;
#[path = "../common/measured.rs"]
mod measuring;
#[path = "../common/registry.rs"]
mod registry;
#[path = "../filesystems/sample.rs"]
#[allow(dead_code, reason = "each test binary uses a part")]
mod sample;
#[path = "../registry/scripted.rs"]
#[allow(dead_code, reason = "each test binary uses a part")]
mod scripted;
#[path = "../filesystems/source.rs"]
#[allow(dead_code, reason = "each test binary uses a part")]
mod source;

mod agreement;
mod caches;
mod compressed;
mod damage;
mod ends;
mod formats;
mod inputs;
mod judges;
mod large;
mod lazy;
mod machines;
mod memory;
mod outputs;
mod pulls;
mod refusals;
mod secrets;
mod system;
mod terminal;
