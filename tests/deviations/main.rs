//! Where lkit does otherwise than linuxkit: a test for each line of README's "Differences from linuxkit".
//!
//! Every test builds its images from text, runs the program, and lets other programs read what it wrote.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/entries.rs"]
mod entries;
#[path = "../common/layout.rs"]
mod layout;
#[path = "../registry/scripted.rs"]
#[allow(dead_code, reason = "each test binary uses a part")]
mod scripted;
#[path = "../common/workshop.rs"]
mod workshop;

mod containers;
mod layers;
mod specs;
mod table;
