//! Every field of a spec in one boot: programs in the guest print what they see, and that is what the spec says.

use std::fs;

use crate::common;
use crate::common::qemu::{Firmware, boot};

/// What each container of `spec.yml` prints, in any order.
const SEEN: [(&str, &[&str]); 14] = [
    // CHOWN is bit 0, KILL 5, NET_BIND_SERVICE 10.
    ("onboot 000-caps", &["CapInh: 421", "CapPrm: 421", "CapEff: 421", "CapBnd: 421", "CapAmb: 400"]),
    // Containers are numbered from 100.
    ("onboot 001-user", &["id: 1000:101 101 7 100", "noNewPrivs: 1", "oomScoreAdj: -500", "nofile: 100 200"]),
    ("onboot 001-user", &["core: 0 unlimited", "env: light blue", "cwd: /etc"]),
    ("onboot 002-alone", &["hostname: alone", "shell: 1", "links: lo ", "ip_forward: 1", "msgmax: 4096"]),
    ("onboot 003-shared", &["ip_forward: 0", "msgmax: 8192"]),
    ("onboot 004-sealed", &["root: refused", "tmp: written", "masked: 0 0", "sys: refused"]),
    ("onboot 005-mounts", &["hostetc: from a file", "hostetc: refused", "hostvar: written", "blank: written"]),
    ("onboot 005-mounts", &["full: written", "sealed: refused", "stored: blobs index.json oci-layout ", "mqueue: 1"]),
    ("onboot 006-devices", &["nothing: written", "loop7: read", "loop6: refused"]),
    ("onboot 007-limits", &["cgroup: 0::/box/limits", "limits: 42 67108864 33554432 50000 100000 "]),
    (
        "onboot 008-runtime",
        &["made: /inside/made /made ", "inside: from a file", "link: left", "link: inner", "link: outer"],
    ),
    ("onboot 009-joins", &["links: inner left lo outer ", "hostname: around"]),
    ("onboot 010-mapped", &["uid: 0 100000 65536", "gid: 0 200000 65536", "id: 0"]),
    ("onboot 011-label", &["CapEff: 201001", "hostetc: from a file", "root: refused"]),
];

#[test]
fn boot_every_field_is_seen_from_inside_the_system() {
    let Some(images) = common::example_images() else { return };
    if !Firmware::Bios.available() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::copy(common::root().join("tests/all/every_field/spec.yml"), dir.path().join("x.yml")).unwrap();
    fs::write(dir.path().join("copied.txt"), "copied\n").unwrap();
    let mut build = common::lkit(&dir.path().join("cache"));
    build.current_dir(dir.path()).args(["build", "--offline", "--arch", "amd64", "-f", "kernel+initrd", "--layout"]);
    common::stdout("build", &build.arg(images).arg("x.yml").output().unwrap());
    let path = |name: &str| dir.path().join(name).display().to_string();
    let cmdline = fs::read_to_string(path("x-cmdline")).unwrap();
    let args = ["-m", "1024", "-kernel", &path("x-kernel"), "-initrd", &path("x-initrd.img"), "-append", &cmdline];
    let console = boot(Firmware::Bios, dir.path(), args);
    let missing = SEEN.iter().flat_map(|(container, lines)| {
        let printed = printed(&console, container);
        let missing: Vec<&&str> = lines.iter().filter(|line| !printed.contains(*line)).collect();
        (!missing.is_empty()).then(|| format!("{container}: no {missing:?} in\n{}\n", printed.join("\n")))
    });
    assert_eq!(missing.collect::<String>(), "");
    mounts_have_their_options(&console);
    namespaces_are_new_or_the_hosts(&console);
    the_system_is_as_its_files_say(&console);
    assert!(printed(&console, "onshutdown 000-bye").contains(&"word: good bye"));
}

/// The lines between the end of a container and the next message of init.
fn printed<'a>(console: &'a str, container: &str) -> Vec<&'a str> {
    let end = format!("{container}: exit 0");
    let lines = console.lines().skip_while(|line| !line.ends_with(&end)).skip(1);
    let is_message =
        |line: &str| line.starts_with("onboot 0") || line.starts_with("service ") || line == "look: begins";
    let found: Vec<&str> = lines.take_while(|line| !is_message(line)).collect();
    assert!(!found.is_empty(), "`{end}` is not in\n{console}");
    found
}

/// The values of a key that a container printed.
fn values<'a>(printed: &[&'a str], key: &str) -> Vec<&'a str> {
    printed.iter().filter_map(|line| line.strip_prefix(key)?.strip_prefix(": ")).collect()
}

fn mounts_have_their_options(console: &str) {
    let has = |container, key, options: &[&str]| {
        let printed = printed(console, container);
        let found: Vec<&str> = values(&printed, key)[0].split([',', ' ']).collect();
        assert!(options.iter().all(|option| found.contains(option)), "{container}: {found:?} has not {options:?}");
    };
    has("onboot 004-sealed", "tmpfs", &["rw", "size=1024k", "mode=700"]);
    has("onboot 005-mounts", "m", &["rw", "noexec", "size=2048k"]);
    assert_eq!(values(&printed(console, "onboot 005-mounts"), "propagation"), ["master"]);
    let devices = printed(console, "onboot 006-devices");
    let expected = ["/dev/nothing character special file 640 1,3", "/dev/loop7 block special file 600 7,7"];
    assert_eq!(values(&devices, "device"), expected);
}

/// Network, IPC, UTS, PID, user and mount namespaces, in this order.
fn namespaces_are_new_or_the_hosts(console: &str) {
    let of = |container| values(&printed(console, container), "ns");
    let (host, alone, shared) = (values(&look(console), "ns"), of("onboot 002-alone"), of("onboot 003-shared"));
    assert_eq!(host.len(), 6);
    let same = |other: &[&str]| host.iter().zip(other).map(|(a, b)| a == b).collect::<Vec<_>>();
    assert_eq!(same(&alone), [false, false, false, false, true, false], "{host:?} {alone:?}");
    assert_eq!(same(&shared), [true, true, true, true, true, false], "{host:?} {shared:?}");
    let hostname = values(&look(console), "hostname")[0];
    assert_eq!(values(&printed(console, "onboot 003-shared"), "hostname"), [hostname]);
}

/// What the system itself printed.
fn look(console: &str) -> Vec<&str> {
    let lines = console.lines().skip_while(|line| *line != "look: begins");
    lines.take_while(|line| *line != "look: ends").collect()
}

fn the_system_is_as_its_files_say(console: &str) {
    let look = look(console);
    let files = [
        "/etc/secret directory 550 5:113",
        "/etc/secret/key regular file 440 5:113",
        "/etc/bag directory 1777 0:6",
        "/etc/copied regular file 755 0:0",
    ];
    assert_eq!(values(&look, "file"), files);
    for (key, value) in [
        ("pointer", "secret/key k"),
        ("hostvar", "from mounts"),
        ("report", "from mounts"),
        ("cgroup", "/sys/fs/cgroup/around"),
        ("link", "right"),
        ("annotation", "1"),
    ] {
        assert_eq!(values(&look, key), [value], "{key}");
    }
    assert!(values(&look, "outside")[0].contains("size=3072k"));
}
