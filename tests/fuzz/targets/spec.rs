//! Specs.
#![no_main]

lkit_fuzz::target!(spec);
