//! Runs of the program on hostile specs, with the most memory they may take.

use std::fs;
use std::process::Stdio;

use crate::common;
pub use crate::common::measured::can_measure;
use crate::common::measured::{Measured, measured, measuring};
use crate::common::workshop::Workshop;

/// Largest peak of a run in KiB: resident memory of all kinds, the pages of the program itself included.
///
/// A spec of 16 MiB is kept twice, as bytes and as text, and its values may take twice its size again.
pub const MOST_KIB: u64 = 200 << 10;

/// What a run said and took.
pub struct Cost {
    pub said: String,
    /// Peak of resident memory.
    pub kib: u64,
    /// Processor time.
    pub seconds: f64,
}

/// Runs the program, with `input` as its standard input if there is any; fails unless it ends with `code`, says something
/// legible and stays within [`MOST_KIB`]. What it said.
pub fn run(shop: &Workshop, name: &str, line: &str, input: Option<&[u8]>, code: i32) -> String {
    cost(shop, name, line, input, code).said
}

/// The same with what it took.
pub fn cost(shop: &Workshop, name: &str, line: &str, input: Option<&[u8]>, code: i32) -> Cost {
    let notes = shop.path("measured");
    let mut command = measuring(&shop.command(line), &notes);
    command.stdin(match input {
        Some(input) => {
            shop.write("stdin", input);
            Stdio::from(fs::File::open(shop.path("stdin")).unwrap())
        }
        None => Stdio::null(),
    });
    let begin = std::time::Instant::now();
    let Measured { code: status, peak, seconds, output } = measured(command, &notes);
    let said = common::stderr(&output);
    let shown: String = said.chars().take(2000).collect();
    eprintln!("{name}: exit {status}, {peak} KiB, {:?}, {} bytes said", begin.elapsed(), said.len());
    assert_eq!(status, code, "{name}: {shown}");
    assert!(peak <= MOST_KIB, "{name}: peak of {peak} KiB");
    assert!(said.len() <= 64 << 10, "{name}: says {} bytes", said.len());
    assert!(code == 0 || (said.contains("error: ") && !said.contains("panicked")), "{name}: {shown}");
    Cost { said, kib: peak, seconds }
}
