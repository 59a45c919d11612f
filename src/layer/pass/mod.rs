//! One reading of a blob, which finds out everything there is to know about it.

mod build;
mod cut;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod header;
mod pax;
mod sparse;
mod tar;
mod window;

pub(crate) use build::{Expected, Input, Search, Transfer, diff_max, pass};
pub(crate) use header::{check_name, checksum_matches, link_name, number, until_nul};
pub(crate) use pax::{Attributes, LOCAL_MAX, record};
pub(crate) use tar::Scanner;
pub(crate) use window::Packer;
