//! Image configs.
#![no_main]

lkit_fuzz::target!(config);
