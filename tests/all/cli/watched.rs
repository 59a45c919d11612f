//! What is said to somebody who watches a terminal, and to nobody else.

use std::process::{Command, Output};

use super::system::{Mounted, System, can_mount};
use crate::common::{have, stderr};

/// Runs a line on a terminal of its own; what it shows, and its exit code.
fn watched(system: &System, line: &str) -> (String, Option<i32>) {
    let command = system.command(line);
    let words = [command.get_program()].into_iter().chain(command.get_args());
    let words: Vec<String> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    let mut script = Command::new("script");
    script.args(["-qec", &words.join(" "), "/dev/null"]).current_dir(system.dir.path());
    let output = script.env("LKIT_CACHE", system.cache()).env("TERM", "xterm").output().unwrap();
    let Output { stdout, status, .. } = output;
    (String::from_utf8(stdout).unwrap().replace("\r\n", "\n"), status.code())
}

#[test]
fn fuse_a_mount_tells_what_and_where_and_no_empty_bar_is_drawn() {
    let system = System::new();
    if !have(&["script"]) || !can_mount() {
        return;
    }
    let (first, code) = watched(&system, "build --digest a.yml");
    assert!(code == Some(0) && first.contains("layers [") && !first.contains("0 B/0 B"), "{first}");
    let mounted = "`a` is mounted on `mnt`; `lkit umount mnt` ends it\n".to_owned();
    assert_eq!(watched(&system, "mount a.yml mnt"), (mounted, Some(0)));
    drop(Mounted(system.mount_point()));
    let image = "`test/init:1` is mounted on `mnt`; `lkit umount mnt` ends it\n".to_owned();
    assert_eq!(watched(&system, "mount --image test/init:1 mnt"), (image, Some(0)));
    drop(Mounted(system.mount_point()));
    assert_eq!(watched(&system, "mount --quiet a.yml mnt"), (String::new(), Some(0)));
    drop(Mounted(system.mount_point()));
}

#[test]
fn a_lock_and_a_build_tell_what_they_wrote() {
    let system = System::new();
    if !have(&["script"]) {
        return;
    }
    assert_eq!(watched(&system, "lock a.yml"), ("recorded 2 references in `a.lock`\n".to_owned(), Some(0)));
    system.good("build --digest a.yml");
    let (shown, code) = watched(&system, "build a.yml");
    let sizes = ["kernel", "initrd.img", "cmdline"].map(|name| {
        let size = std::fs::metadata(system.path(&format!("a-{name}"))).unwrap().len();
        format!("`./a-{name}` ({size} bytes)")
    });
    let last = format!("wrote {}\n", sizes.join(", "));
    assert!(code == Some(0) && shown.contains("a-initrd.img [") && shown.ends_with(&last), "{shown}");
    assert!(!shown.contains("0 B/0 B"), "{shown}");
}

#[test]
fn the_console_of_a_machine_is_told_how_to_end() {
    let system = System::new();
    if !have(&["script"]) {
        return;
    }
    system.write("a-bios.img", "");
    let line = "run --arch amd64 --accel tcg --qemu /bin/true a-bios.img";
    let console = "this terminal is now the console of the machine; Ctrl-A X ends it, Ctrl-A H tells more\n".to_owned();
    assert_eq!(watched(&system, line), (console, Some(0)));
    let output = system.command(line).output().unwrap();
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
}

#[test]
fn a_script_that_does_not_watch_is_told_nothing() {
    let system = System::new();
    for line in ["lock a.yml", "build a.yml", "build --digest a.yml"] {
        let output = system.command(line).output().unwrap();
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{line}");
    }
}
