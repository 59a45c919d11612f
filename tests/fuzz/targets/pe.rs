//! Heads of kernel files.
#![no_main]

lkit_fuzz::target!(pe);
