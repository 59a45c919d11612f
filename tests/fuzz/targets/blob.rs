//! Blobs of any compression: reads equal what they decode to.
#![no_main]

lkit_fuzz::target!(blob);
