//! Members of gzip.
#![no_main]

lkit_fuzz::target!(gzip);
