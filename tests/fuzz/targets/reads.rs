//! Read lists.
#![no_main]

lkit_fuzz::target!(reads);
