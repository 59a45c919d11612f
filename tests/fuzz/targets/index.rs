//! Index files.
#![no_main]

lkit_fuzz::target!(index);
