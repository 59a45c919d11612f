//! The main job: a spec boots out of the mount under QEMU, and leaves nothing behind.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::common;
use crate::common::qemu::one_at_a_time;

/// An emulated boot takes half a minute on a quiet machine.
const LIMIT: Duration = Duration::from_secs(240);

/// The number of mounts below a directory.
fn mounts_below(dir: &Path) -> usize {
    let table = std::fs::read_to_string("/proc/mounts").unwrap();
    table.lines().filter_map(|line| line.split(' ').nth(1)).filter(|point| Path::new(point).starts_with(dir)).count()
}

/// A container that prints the metadata of the machine, as the last one of a spec's `onboot`.
const READER: &str = r#"
  - name: metadata
    image: busybox:example
    capabilities: [CAP_SYS_ADMIN]
    devices: [{path: all, type: b}]
    binds: ["/dev:/dev"]
    mounts: [{type: tmpfs, destination: /mnt}]
    command: ["sh", "-c", "mount -t iso9660 -o ro /dev/sr0 /mnt && echo metadata: $(cat /mnt/config)"]
"#;

#[test]
fn boot_a_spec_runs_out_of_the_mount_reads_its_metadata_and_leaves_nothing() {
    let Some(images) = common::example_images() else { return };
    if !common::have(&["qemu-system-x86_64"]) {
        return;
    }
    let cache = tempfile::tempdir().unwrap();
    let temporary = tempfile::tempdir().unwrap();
    let spec = temporary.path().join("spec.yml");
    let minimal = std::fs::read_to_string(common::root().join("examples/minimal.yml")).unwrap();
    std::fs::write(&spec, minimal.trim_end().to_owned() + READER).unwrap();
    let _one = one_at_a_time();
    let mut machine = common::lkit(cache.path())
        .env("TMPDIR", temporary.path())
        .args(["run", "--accel", "tcg", "--cpus", "2", "--data", "from the host", "--offline", "--layout"])
        .arg(images)
        .arg(&spec)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (send, lines) = channel();
    let console = BufReader::new(machine.stdout.take().unwrap());
    std::thread::spawn(move || {
        let lines = console.split(b'\n').map_while(Result::ok);
        lines.map(|line| String::from_utf8_lossy(&line).into_owned()).all(|line| send.send(line).is_ok())
    });
    let end = Instant::now() + LIMIT;
    let mut seen = String::new();
    let mut mounts = 0;
    let said = loop {
        match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) if line.contains("metadata: from the host") => {
                mounts = mounts_below(temporary.path());
                break seen.contains("hello from a container");
            }
            Ok(line) => seen += &line,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break false,
        }
    };
    kill_process(Pid::from_child(&machine), Signal::TERM).unwrap();
    let status = machine.wait().unwrap();
    assert!(said, "no line from the guest; the console said:\n{seen}");
    // One with the system, one with the CD.
    assert_eq!((status.code(), mounts, mounts_below(temporary.path())), (Some(130), 2, 0));
}

#[test]
fn hyperkit_gets_the_paths_of_the_system_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    for (name, text) in [("kernel", "k"), ("initrd.img", "i"), ("cmdline", "console=ttyS0 a,b")] {
        std::fs::write(path(name), text).unwrap();
    }
    let (program, record) = (path("hyperkit"), path("record"));
    common::install_script(&format!("#!/bin/sh\nprintf '%s\\n' \"$@\" >{}\n", record.display()), &program);
    let output = common::lkit(dir.path())
        .args(["run", "hyperkit", "--mem", "512", "--cpus", "2", "--hyperkit"])
        .args([program.as_path(), dir.path()])
        .output()
        .unwrap();
    common::stdout("lkit", &output);
    let recorded = std::fs::read_to_string(record).unwrap();
    let words: Vec<&str> = recorded.lines().collect();
    let kexec = format!("kexec,{},{},console=ttyS0 a,b", path("kernel").display(), path("initrd.img").display());
    assert_eq!(words[..5], ["-A", "-u", "-c", "2", "-m"]);
    assert_eq!((words[5], words[words.len() - 2], words[words.len() - 1]), ("512M", "-f", kexec.as_str()));
}
