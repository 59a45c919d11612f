//! Deflate streams.
#![no_main]

lkit_fuzz::target!(inflate);
