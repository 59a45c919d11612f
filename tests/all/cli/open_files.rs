//! A limit of open files that is lower than what a spec needs.

use std::process::{Command, Output};

use super::system::{System, assert_says, image, refused, tar};
use crate::common::stdout;

/// Layers of an image that two descriptors each do not fit under the limit for.
const LAYERS: usize = 48;

/// Runs the program under a limit, which is set by these words of `ulimit`.
fn limited(system: &System, limit: &str) -> Output {
    let line = system.command("inspect b.yml");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &format!("ulimit {limit} 64 && exec \"$0\" \"$@\"")]).arg(line.get_program());
    command.args(line.get_args()).current_dir(system.dir.path());
    command.envs(line.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.output().unwrap()
}

#[test]
fn the_soft_limit_is_raised_and_the_hard_one_is_told_of() {
    let mut system = System::new();
    let tars: Vec<_> = (0..LAYERS).map(|number| tar(&[(&format!("f{number}"), b"")])).collect();
    let descriptor = image(&system.layout, &tars.iter().map(Vec::as_slice).collect::<Vec<_>>());
    system.layout.name("docker.io/test/many:1", &descriptor);
    system.write("b.yml", "init:\n  - test/many:1\n");
    let said = refused("hard", &limited(&system, "-n"), 1);
    assert_says(&said, &["cause: Too many open files (os error 24)", "hint: let lkit have more files open"]);
    stdout("soft", &limited(&system, "-Sn"));
}
