//! Where lkit does otherwise than linuxkit: a test for each line of README's "Differences from linuxkit".
//!
//! Every test builds its images from text, runs the program, and lets other programs read what it wrote.

mod containers;
mod layers;
mod specs;
mod table;
