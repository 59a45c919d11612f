//! Tables of contents in JSON, as eStargz and zstd:chunked have them.
#![no_main]

lkit_fuzz::target!(rows);
