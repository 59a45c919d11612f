//! Runs of the program whose peak memory is measured by another process.

use std::fs;
use std::process::{Command, Stdio};

use crate::common;
use crate::workshop::Workshop;

/// Largest peak of a run in KiB: resident memory of all kinds, the pages of the program itself included.
///
/// A spec of 16 MiB is kept twice, as bytes and as text, and its values may take twice its size again.
pub const MOST_KIB: u64 = 200 << 10;

/// Runs a command with a time limit far above what any run takes, and writes its exit status, its peak in KiB and its
/// processor time in seconds.
const MEASURE: &str = "import resource, subprocess, sys
status = subprocess.run(sys.argv[2:], timeout=60).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
open(sys.argv[1], 'w').write(f'{status} {used.ru_maxrss} {used.ru_utime + used.ru_stime}')";

/// What a run said and took.
pub struct Cost {
    pub said: String,
    /// Peak of resident memory.
    pub kib: u64,
    /// Processor time.
    pub seconds: f64,
}

/// Whether runs can be measured here.
pub fn can_measure() -> bool {
    common::have(&["python3"])
}

/// Runs the program, with `input` as its standard input if there is any; fails unless it ends with `code`, says something
/// legible and stays within [`MOST_KIB`]. What it said.
pub fn run(shop: &Workshop, name: &str, line: &str, input: Option<&[u8]>, code: i32) -> String {
    cost(shop, name, line, input, code).said
}

/// The same with what it took.
pub fn cost(shop: &Workshop, name: &str, line: &str, input: Option<&[u8]>, code: i32) -> Cost {
    let program = shop.command(line);
    let mut command = Command::new("python3");
    command.args(["-c", MEASURE]).arg(shop.path("measured")).arg(program.get_program()).args(program.get_args());
    command.current_dir(shop.dir.path()).env("LKIT_CACHE", shop.path("cache")).env("HOME", shop.dir.path());
    let stdin = match input {
        Some(input) => {
            shop.write("stdin", input);
            Stdio::from(fs::File::open(shop.path("stdin")).unwrap())
        }
        None => Stdio::null(),
    };
    let begin = std::time::Instant::now();
    let output = command.stdin(stdin).output().unwrap();
    let said = common::stderr(&output);
    let shown: String = said.chars().take(2000).collect();
    common::stdout(&format!("{name}: {shown}"), &output);
    let text = fs::read_to_string(shop.path("measured")).unwrap();
    let [status, peak, seconds] = text.split(' ').collect::<Vec<_>>()[..] else { panic!("{name}: measured {text}") };
    eprintln!("{name}: exit {status}, {peak} KiB, {:?}, {} bytes said", begin.elapsed(), said.len());
    assert_eq!(status.parse(), Ok(code), "{name}: {shown}");
    let kib = peak.parse().unwrap();
    assert!(kib <= MOST_KIB, "{name}: peak of {peak} KiB");
    assert!(said.len() <= 64 << 10, "{name}: says {} bytes", said.len());
    assert!(code == 0 || (said.contains("error: ") && !said.contains("panicked")), "{name}: {shown}");
    Cost { said, kib, seconds: seconds.parse().unwrap() }
}
