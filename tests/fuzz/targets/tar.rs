//! Tars.
#![no_main]

lkit_fuzz::target!(tar);
