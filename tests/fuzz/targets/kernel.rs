//! The gzip stream in a kernel file.
#![no_main]

lkit_fuzz::target!(kernel);
