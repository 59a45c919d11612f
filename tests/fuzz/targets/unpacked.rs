//! Streams of xz, zstd and LZ4 with their size behind them.
#![no_main]

lkit_fuzz::target!(unpacked);
