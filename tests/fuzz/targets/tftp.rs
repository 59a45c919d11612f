//! Packets of a TFTP client.
#![no_main]

lkit_fuzz::target!(tftp);
