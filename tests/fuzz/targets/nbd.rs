//! Clients of network block devices.
#![no_main]

lkit_fuzz::target!(nbd);
