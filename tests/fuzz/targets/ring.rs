//! Rings in the memory of a guest.
#![no_main]

lkit_fuzz::target!(ring);
