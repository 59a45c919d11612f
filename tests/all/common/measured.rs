//! Runs of the program whose peak memory is measured by another process.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Runs a command with a time limit far above what any run takes, and writes its exit status, its peak in KiB and its
/// processor time in seconds.
const MEASURE: &str = "import resource, subprocess, sys
status = subprocess.run(sys.argv[2:], timeout=120).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
open(sys.argv[1], 'w').write(f'{status} {used.ru_maxrss} {used.ru_utime + used.ru_stime}')";

/// What a run came to.
pub struct Measured {
    /// Exit status of the program.
    pub code: i32,
    /// Largest resident memory of all kinds, the pages of the program itself included, in KiB.
    pub peak: u64,
    /// Processor time in seconds.
    pub seconds: f64,
    /// What the program said; its status is not in there.
    pub output: Output,
}

/// Whether runs can be measured here.
pub fn can_measure() -> bool {
    crate::common::have(&["python3"])
}

/// A command that runs `program` and notes in the file `notes` what it came to.
pub fn measuring(program: &Command, notes: &Path) -> Command {
    let mut command = Command::new("python3");
    command.args(["-c", MEASURE]).arg(notes).arg(program.get_program()).args(program.get_args());
    command.current_dir(program.get_current_dir().unwrap_or(Path::new(".")));
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// Runs a command made by [`measuring`]; what it came to.
pub fn measured(mut command: Command, notes: &Path) -> Measured {
    let output = command.output().unwrap();
    crate::common::stdout("measuring", &output);
    let text = fs::read_to_string(notes).unwrap();
    let [code, peak, seconds] = text.split(' ').collect::<Vec<_>>()[..] else { panic!("measured {text}") };
    Measured { code: code.parse().unwrap(), peak: peak.parse().unwrap(), seconds: seconds.parse().unwrap(), output }
}
