//! What headers of a request say.
#![no_main]

lkit_fuzz::target!(http);
