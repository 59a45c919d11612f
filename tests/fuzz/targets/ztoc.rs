//! SOCI's zTOCs.
#![no_main]

lkit_fuzz::target!(ztoc);
