//! Formats, files and streams that `lkit build` writes.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use super::system::{Mounted, SPEC, System, assert_says, can_mount, refused};
use crate::common::{have, skip_unless, stderr, stdout};

#[test]
fn a_spec_is_not_written_over_by_what_is_made_of_it() {
    let system = System::new();
    symlink("a.yml", system.path("b.yml")).unwrap();
    for name in ["a.yml", "b.yml", "./a.yml"] {
        let said = system.bad(&format!("build -f tar -o {name} a.yml"), 2);
        assert_says(&said, &[&format!("`{name}` is the spec itself"), "hint: write to another file"]);
    }
    assert!(fs::read_to_string(system.path("a.yml")).unwrap().contains("init:"));
}

#[test]
fn names_that_are_no_formats_are_an_error_on_the_command_line_and_in_a_spec() {
    let system = System::new();
    assert_says(&system.bad("build -f rpi4 a.yml", 2), &["`rpi4` is no output format", "hint: did you mean `rpi3`?"]);
    assert_says(&system.bad("build -f no-such a.yml", 2), &["`no-such` is no output format", "hint: "]);
    system.write("b.yml", format!("{SPEC}outputs:\n  - format: rpi4\n  - format: tar\n"));
    assert_says(&system.bad("build b.yml", 3), &["`rpi4` is no output format", "b.yml:7:13"]);
    assert!(!system.path("b.tar").exists());
    system.good("build -f tar b.yml");
}

#[test]
fn one_file_takes_a_format_of_one_file() {
    let system = System::new();
    let said = system.bad("build -f kernel+initrd -o x a.yml", 2);
    assert_says(&said, &["`-o x` takes a format of one file, not of 3", "hint: name a directory with `--dir`"]);
    system.good("build -o x a.yml");
    system.good("build -f tar a.yml");
    assert!(fs::read(system.path("x")).unwrap() == fs::read(system.path("a.tar")).unwrap());
}

#[test]
fn formats_that_share_files_write_them_once() {
    let system = System::new();
    let sums = system.good("build -f kernel+initrd -f kernel+initrd -f tar --digest a.yml");
    assert_eq!(sums.lines().count(), 4);
}

#[test]
fn regression_a_device_is_written_to_and_not_replaced() {
    let system = System::new();
    let pipe = system.path("pipe");
    crate::common::run("mkfifo", [&pipe]);
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read(pipe).unwrap()
    });
    system.good("build -f tar -o pipe a.yml");
    system.good("build -f tar -o x a.yml");
    assert!(reader.join().unwrap() == fs::read(system.path("x")).unwrap());
    assert!(!fs::symlink_metadata(&pipe).unwrap().is_file());
}

#[test]
fn a_link_is_followed_and_stays_where_it_leads_to_a_pipe_or_to_nothing_yet() {
    let system = System::new();
    system.good("build -f tar -o x a.yml");
    let expected = fs::read(system.path("x")).unwrap();
    // As `/dev/stdout` is one.
    symlink("/proc/self/fd/1", system.path("out")).unwrap();
    let output = system.command("build -f tar -o out a.yml").output().unwrap();
    assert!(output.status.success() && output.stdout == expected, "{}", stderr(&output));
    symlink("later", system.path("link")).unwrap();
    system.good("build -f tar -o link a.yml");
    assert!(fs::read(system.path("later")).unwrap() == expected);
    assert!(["out", "link"].iter().all(|name| system.path(name).is_symlink()));
}

#[test]
fn a_file_that_is_written_over_keeps_its_permissions() {
    let system = System::new();
    let mode = || fs::metadata(system.path("x")).unwrap().permissions().mode() & 0o777;
    system.write("x", "old");
    fs::set_permissions(system.path("x"), fs::Permissions::from_mode(0o600)).unwrap();
    system.good("build -f tar -o x a.yml");
    assert_eq!(mode(), 0o600);
    system.good("build -f tar --artifact-mode 0640 -o x a.yml");
    assert_eq!(mode(), 0o640);
}

#[test]
fn a_path_that_is_no_text_is_told_in_json_with_its_bytes() {
    let system = System::new();
    let name = OsStr::from_bytes(b"bad\xff");
    fs::create_dir(system.dir.path().join(name)).unwrap();
    let built = system.command("build --json -f tar a.yml").arg("--dir").arg(name).output().unwrap();
    let said: serde_json::Value = serde_json::from_str(&stdout("build", &built)).unwrap();
    assert_eq!(said["files"][0]["pathHex"], "626164ff2f612e746172");
    let said = system.bad("build --json --dry-run a.yml", 2);
    assert_says(&said, &["'--json' cannot be used with '--dry-run'"]);
}

#[test]
fn regression_a_closed_standard_output_is_no_panic() {
    let system = System::new();
    system.good("build --digest a.yml");
    for line in ["build --digest a.yml", "build --dry-run a.yml", "inspect a.yml", "inspect --tree a.yml", "cache ls"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = system.command(line).stdout(writer).output().unwrap();
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{line}");
    }
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = system.command("build -f tar -o - a.yml").stdout(writer).output().unwrap();
    assert_says(&refused("stream", &output, 1), &["cannot write `standard output`", "Broken pipe"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut quiet = system.command("build no.yml");
    assert_eq!(quiet.stderr(writer).status().unwrap().code(), Some(1));
}

#[test]
fn output_to_a_full_device_is_an_error() {
    let system = System::new();
    for line in ["build --digest a.yml", "build --dry-run a.yml", "inspect a.yml", "build -f tar -o - a.yml"] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = system.command(line).stdout(Stdio::from(full)).output().unwrap();
        assert_says(&refused(line, &output, 1), &["standard output", "No space left"]);
    }
}

#[test]
fn a_build_replaces_older_files() {
    let system = System::new();
    system.write("a-kernel", "old");
    system.good("build a.yml");
    assert_eq!(fs::metadata(system.path("a-kernel")).unwrap().len(), 300_000);
    let names = system.names();
    assert_eq!(names, ["a-cmdline", "a-initrd.img", "a-kernel", "a.yml", "cache", "layout", "mnt"]);
}

/// The permissions of a file.
fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn fuse_artifacts_in_a_mount_that_others_may_enter_are_for_their_owner_alone() {
    let system = System::new();
    let root = skip_unless(rustix::process::geteuid().is_root(), "only root can look as another user");
    if !have(&["runuser"]) || !root || !can_mount() {
        return;
    }
    fs::set_permissions(system.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let others_read = |name: &str| {
        let path = system.mount_point().join(name);
        Command::new("runuser").args(["-u", "nobody", "--", "cat"]).arg(path).output().unwrap().status.success()
    };
    let rows =
        [("", 0o444, false), ("--allow-other ", 0o400, false), ("--allow-other --artifact-mode 0444 ", 0o444, true)];
    for (options, expected, readable) in rows {
        stdout("mount", &system.command(&format!("mount {options}a.yml mnt")).output().unwrap());
        let mounted = Mounted(system.mount_point());
        for name in ["kernel", "initrd.img", "cmdline", "a.tar", "a.iso"] {
            assert_eq!(mode(&mounted.path(name)), expected, "{options}{name}");
        }
        assert_eq!((others_read("cmdline"), others_read("a.tar")), (readable, readable), "{options}");
        // Files of the root have their own modes.
        assert_eq!(mode(&mounted.path("rootfs/etc/motd")), 0o644);
        assert_eq!(others_read("rootfs/etc/motd"), options.contains("--allow-other"));
        system.good("umount mnt");
    }
}

#[test]
fn a_mode_of_artifacts_is_octal_and_the_mode_of_built_files() {
    let system = System::new();
    for (text, expected) in [("0440", 0o440), ("600", 0o600), ("0o444", 0o444)] {
        system.good(&format!("build --artifact-mode {text} a.yml"));
        for name in ["a-kernel", "a-initrd.img", "a-cmdline"] {
            assert_eq!(mode(&system.path(name)), expected, "{text} {name}");
        }
    }
    for text in ["u=r", "999", "4755", "0x1a4"] {
        for line in ["build --artifact-mode MODE a.yml", "mount --artifact-mode MODE a.yml mnt"] {
            let said = system.bad(&line.replace("MODE", text), 2);
            let message = format!("--artifact-mode: `{text}` is no file mode");
            assert_says(
                &said,
                &[&message, "hint: write the permissions in octal, from `0000` to `0777`, such as `0444`"],
            );
        }
    }
}
