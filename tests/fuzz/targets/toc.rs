//! Columns of tables of contents.
#![no_main]

lkit_fuzz::target!(toc);
