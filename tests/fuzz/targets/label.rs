//! The labels of images.
#![no_main]

lkit_fuzz::target!(label);
