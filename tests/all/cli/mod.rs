//! The program as people use it: mounts, builds, refusals, its cache, and what is left when it is killed.

mod agreement;
mod boot_time;
mod caches;
mod compressed;
mod damage;
mod doctor;
mod ends;
mod examples;
mod formats;
mod inputs;
mod inspect;
mod judges;
mod large;
mod lazy;
mod library;
mod machines;
mod memory;
mod outputs;
mod pulls;
mod refusals;
mod ruled_out;
mod said;
mod secrets;
mod system;
mod terminal;
mod watched;
