//! Frames of zstd.
#![no_main]

lkit_fuzz::target!(zstd);
