//! What people type and get wrong: each line with all that is printed, to the letter, and its exit code.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use super::system::{SPEC, System, assert_says};
use crate::common::registry::free_port;
use crate::common::{have, install, lkit, skip_unless, stderr};

/// A line, its exit code, and what is printed on standard error. `b.yml` names an image that is nowhere.
const TABLE: &[(&str, i32, &str)] = &[
    ("build -f iso-bois b.yml", 2, "error: `iso-bois` is no output format\n\nhint: did you mean `iso-bios`?\n"),
    (
        "build -format tar b.yml",
        2,
        "error: `-format` has one dash, and long options have two\n\nhint: write `--format`, or call `lkit linuxkit build …`, which takes \
         linuxkit's flags\n",
    ),
    (
        "build -name x b.yml",
        2,
        "error: `-name` has one dash, and long options have two\n\nhint: write `--name`, or \
         call `lkit linuxkit build …`, which takes linuxkit's flags\n",
    ),
    (
        "run -mem 2G b.yml",
        2,
        "error: `-mem` has one dash, and long options have two\n\nhint: write `--mem`, or call \
         `lkit linuxkit run …`, which takes linuxkit's flags\n",
    ),
    (
        "run gcp b.yml",
        2,
        "error: lkit runs no machines with `gcp`\n\nhint: write what it takes with `lkit build -f gcp SPEC`, then push \
         `NAME.img.tar.gz` with `lkit push gcp`, which makes an image of it, and start that\n",
    ),
    (
        "build c.yml",
        3,
        "error: `iso-bois` is no output format\n  --> c.yml:5:13\n   |\n 5 |   - format: iso-bois\n   |             \
         ^^^^^^^^\n\nhint: did you mean `iso-bios`?\n",
    ),
    ("run quemu b.yml", 2, "error: `quemu` is neither a monitor nor a file\n\nhint: did you mean `qemu`?\n"),
    (
        "diff b.yml no.yml",
        2,
        "error: cannot read spec `no.yml`\n  cause: No such file or directory (os error 2)\n\nhint: name a LinuxKit YAML \
         file, `-` for standard input, or a URL\n",
    ),
    (
        "inspect --layout no b.yml",
        1,
        "error: `no` is not an OCI image layout: it is missing\n\nhint: name the folder that holds `oci-layout`, \
         `index.json` and `blobs`, or what `docker save` writes\n",
    ),
    (
        "serve --insecure-listen --listen http://192.0.2.1:8080 b.yml",
        1,
        "error: cannot listen on `http://192.0.2.1:8080`\n  cause: Cannot assign requested address (os error 99)\n\nhint: \
         use an address of this machine, such as `127.0.0.1`\n",
    ),
    ("build --locked b.yml", 4, "error: there is no lock `b.lock`\n\nhint: make it with `lkit lock`\n"),
    (
        "build -f kernel+initrd -o x b.yml",
        2,
        "error: `-o x` takes a format of one file, not of 3\n\nhint: name a directory with `--dir`\n",
    ),
    (
        "build --dir no b.yml",
        1,
        "error: cannot write `no/b-kernel`\n  cause: No such file or directory (os error 2)\n\nhint: make the directory \
         with `mkdir -p no`\n",
    ),
    (
        "build --loader isolinux=/nowhere b.yml",
        1,
        "error: `/nowhere` has no file `isolinux.bin`\n\nhint: Debian has it in the packages `isolinux` and \
         `syslinux-common`\n",
    ),
    (
        "run --accel tcg --qemu /nowhere/qemu --arch amd64 b.yml",
        1,
        "error: `/nowhere/qemu` is not installed\n\nhint: install it with `apt-get install qemu-system-x86`, or name \
         another program\n",
    ),
    (
        "run --accel tcg --qemu /bin/true --disk /nowhere/d,size=1G b.yml",
        1,
        "error: cannot make disk `/nowhere/d`\n  cause: cannot write `/nowhere/d`\n  cause: No such file or directory (os \
         error 2)\n\nhint: name a place that is there and can be written to\n",
    ),
    (
        "run --accel tcg --qemu /bin/true -p 192.0.2.1:8080:80 b.yml",
        1,
        "error: port 192.0.2.1:8080/tcp of this host cannot be opened\n  cause: Cannot assign requested address (os error \
         99)\n\nhint: leave out the address, or take one of this host\n",
    ),
    (
        "run --networking none -p 80:80 b.yml",
        2,
        "error: only a machine with `--networking user` publishes ports\n\nhint: leave out `--publish`, or \
         `--networking`\n",
    ),
    (
        "run --networking vpnkit b.yml",
        2,
        "error: `vpnkit` is no network of a machine; there are user, tap,INTERFACE, bridge,BRIDGE, vmnet and none\n",
    ),
    (
        "run --accel tcg --qemu /bin/true --networking tap,nowhere0 b.yml",
        1,
        "error: this host has no tap interface `nowhere0`\n\nhint: make it with `ip tuntap add dev nowhere0 mode tap`, and \
         set it up\n",
    ),
    (
        "run firecracker --program /nowhere/fc b.yml",
        1,
        "error: `/nowhere/fc` is not installed\n\nhint: get it from https://github.com/firecracker-microvm/firecracker, or \
         name another program\n",
    ),
    (
        "run crosvm --accel kvm b.yml",
        2,
        "error: `--accel` is for QEMU, and not for crosvm\n\nhint: write `lkit run qemu …`, or leave it out\n",
    ),
    (
        "run cloud-hypervisor --gui b.yml",
        1,
        "error: Cloud Hypervisor cannot open a window\n\nhint: use `lkit run qemu`\n",
    ),
    ("run firecracker -p 80:80 b.yml", 1, "error: Firecracker cannot publish ports\n\nhint: use `lkit run qemu`\n"),
    (
        "run --disk size=1G b.yml",
        2,
        "error: --disk: there is no file, and no state directory to keep one in\n\nhint: write `file=PATH`, or name a \
         directory with `--state DIR`\n",
    ),
    (
        "run --data-file no b.yml",
        1,
        "error: --data-file: cannot read `no`\n  cause: No such file or directory (os error 2)\n",
    ),
    (
        "run --accel tcg --qemu /bin/true --virtiofsd /bin/true --virtiofs no b.yml",
        1,
        "error: --virtiofs: cannot share `no`\n  cause: No such file or directory (os error 2)\n\nhint: name a directory \
         that you may read\n",
    ),
    (
        "run vfkit --detached --state s b.yml",
        1,
        "error: vfkit cannot run in the background\n\nhint: use `lkit run qemu`\n",
    ),
    (
        "run --accel tcg --initrd a.yml b.yml",
        2,
        "error: `--initrd` is for a root such as `N-squashfs.img`: the initrd of a spec is made of the spec\n\nhint: leave \
         out `--initrd`\n",
    ),
    (
        "run --accel tcg d.yml",
        1,
        "error: the spec has no kernel to start\n\nhint: add a `kernel` section to the spec\n",
    ),
];

/// Mistakes in the place of a mount, told before an image is looked for; where mounts can be tried.
const MOUNTS: &[(&str, i32, &str)] = &[
    ("mount b.yml no", 1, "error: mount point `no` does not exist\n\nhint: make it with `mkdir -p no`\n"),
    (
        "mount b.yml layout",
        1,
        "error: mount point `layout` is not empty\n\nhint: choose an empty directory; a mount would hide the files\n",
    ),
    ("mount b.yml", 2, "error: a spec and a directory to mount on are needed\n\nhint: write `lkit mount SPEC DIR`\n"),
    (
        "mount --image test/init:1 b.yml mnt",
        2,
        "error: an image is mounted alone, without a spec\n\nhint: write `lkit mount --image REFERENCE DIR`\n",
    ),
    (
        "mount --log no/log b.yml mnt",
        1,
        "error: cannot open log file `no/log`\n  cause: No such file or directory (os error 2)\n",
    ),
];

#[test]
fn each_mistake_is_told_to_the_letter_before_anything_is_fetched() {
    let system = System::new();
    system.write("b.yml", "kernel: {image: test/no:1, cmdline: x}\ninit: [test/no:1]\n");
    system.write("c.yml", format!("{SPEC}outputs:\n  - format: iso-bois\n").replace("init:\n  - test/init:1\n", ""));
    system.write("d.yml", "init: [test/no:1]\n");
    let mounts = if super::system::can_mount() { MOUNTS } else { &[] };
    for (line, code, expected) in TABLE.iter().chain(mounts) {
        let output = system.command(line).output().unwrap();
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(*code), *expected), "{line}");
    }
}

#[test]
fn a_mirror_that_fails_is_told_once_with_its_cause() {
    let system = System::new();
    let [registry, mirror] = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
    system.write("m.yml", format!("init: ['{registry}/a', '{registry}/b', '{registry}/c']\n"));
    let line = ["inspect", "m.yml", "--mirror", &format!("{registry}=http://{mirror}")];
    let output = lkit(&system.cache()).current_dir(system.dir.path()).args(line).output().unwrap();
    let said = stderr(&output);
    let warning = format!(
        "warning: mirror of `{registry}` is passed over: cannot reach registry `{mirror}`: Connection refused (os error \
         111)\n"
    );
    assert_eq!((output.status.code(), said.matches(&warning).count()), (Some(4), 1), "{said}");
    assert_eq!(said.matches("warning: ").count(), 1, "{said}");
}

#[test]
fn options_of_linuxkit_that_change_nothing_are_named() {
    let system = System::new();
    let line = "build -f tar -o x --input-tar t a.yml";
    let output = system.command(line).output().unwrap();
    let expected = "\
                    warning: `--input-tar` has no effect: lkit needs no earlier build\n";
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), expected));
    let quiet = system.command(&format!("{line} --quiet")).output().unwrap();
    assert_eq!((quiet.status.code(), stderr(&quiet).as_str()), (Some(0), ""));
}

#[test]
fn options_of_files_that_are_not_written_are_named() {
    let system = System::new();
    std::fs::create_dir(system.dir.path().join("sd")).unwrap();
    std::fs::write(system.dir.path().join("sd/systemd-bootx64.efi"), "loader").unwrap();
    let rows = [
        (
            "--size 1G --data-size 2G",
            "`--size` has no effect: no disk is written\nwarning: `--data-size` has no effect: no disk is written",
        ),
        ("--arch amd64 --loader systemd-boot=./sd", "`--loader` has no effect: neither a disk nor an ISO is written"),
        ("--arch arm64 --dtb a.dtb", "`--dtb` has no effect: nothing for boards is written"),
        ("--arch arm64 --firmware ./sd", "`--firmware` has no effect: nothing for a Raspberry Pi is written"),
    ];
    for (options, warning) in rows {
        // The spec's image is for one architecture.
        let output = system.command(&format!("build -f tar -o x {options} a.yml")).output().unwrap();
        assert!(stderr(&output).starts_with(&format!("warning: {warning}\n")), "{options}: {}", stderr(&output));
    }
}

#[test]
fn options_that_no_use_can_be_made_of_are_refused() {
    let system = System::new();
    for (line, said) in [
        (
            "build -f tar -o x --arch amd64 --dtb a.dtb a.yml",
            "`--dtb` is for boards with arm64 processors, not for linux/amd64",
        ),
        (
            "mount --arch amd64 --firmware ./sd a.yml mnt",
            "`--firmware` is for boards with arm64 processors, not for linux/amd64",
        ),
        ("lock --locked a.yml", "`--locked` goes by a lock, and `lkit lock` writes one"),
        ("lock --size 1G a.yml", "unexpected argument '--size' found"),
        ("index pull --sbom a.yml", "unexpected argument '--sbom' found"),
    ] {
        let output = system.command(line).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(stderr(&output).starts_with(&format!("error: {said}\n")), "{line}: {}", stderr(&output));
    }
}

#[test]
fn a_spec_in_the_place_of_a_command_is_told_what_may_be_meant() {
    let system = System::new();
    let mut command = lkit(&system.cache());
    let output = command.current_dir(system.dir.path()).args(["a.yml", "mnt"]).output().unwrap();
    let expected =
        "error: `a.yml` is no command of lkit\n\nhint: did you mean `lkit mount a.yml DIR` or `lkit build a.yml`?\n";
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(2), expected));
}

#[test]
fn a_spec_url_that_is_not_there_has_one_exit_code_whoever_says_so() {
    let system = System::new();
    let refused = format!("build http://127.0.0.1:{}/a.yml", free_port());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let missing = format!("build http://{}/a.yml", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = std::io::Read::read(&mut stream, &mut [0; 4096]).unwrap();
        std::io::Write::write_all(&mut stream, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    let told = |line: &str, cause: &str| {
        let url = line.strip_prefix("build ").unwrap();
        format!("error: cannot fetch spec `{url}`\n  cause: {cause}\n\nhint: check the address of the spec")
    };
    let said = system.bad(&missing, 4);
    server.join().unwrap();
    assert_eq!(said, told(&missing, "the server answered 404 Not Found") + "\n");
    let said = system.bad(&refused, 4);
    assert_eq!(said, told(&refused, "Connection refused (os error 111)") + ", and the network\n");
}

#[test]
fn a_spec_url_that_asks_a_plain_server_for_tls_is_told_so() {
    let system = System::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let line = format!("build https://{}/a.yml", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = std::io::Read::read(&mut stream, &mut [0; 4096]).unwrap();
        std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").unwrap();
        // Until the client has gone: what it still sends must not cut the answer off.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let said = system.bad(&line, 4);
    server.join().unwrap();
    assert_says(&said, &["  cause: the server does not speak https, but plain http as it seems\n"]);
    assert_eq!(said.matches("cause: ").count(), 1, "{said}");
}

#[test]
fn a_port_that_only_root_opens_is_told_to_an_ordinary_user() {
    let system = System::new();
    let root = rustix::process::geteuid().is_root();
    if !have(&["runuser", "unshare"]) || !skip_unless(root, "only root can become another user") {
        return;
    }
    system.write("a-bios.img", "");
    let program = system.path("lkit");
    install(Path::new(env!("CARGO_BIN_EXE_lkit")), &program);
    std::fs::set_permissions(system.dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    // In a network of its own, where ports from 1024 on are for everybody and others are not, whatever the host says.
    let script = "echo 1024 >/proc/sys/net/ipv4/ip_unprivileged_port_start; exec runuser -u nobody -- ./lkit run \
                  --arch amd64 --accel tcg --qemu /bin/true -p 80:80 a-bios.img";
    let mut command = Command::new("unshare");
    let output = command.args(["-n", "sh", "-c", script]).current_dir(system.dir.path()).output().unwrap();
    let expected = "error: port 80/tcp of this host cannot be opened\n  cause: Permission denied (os error 13)\n\n\
                    hint: only root opens ports below 1024: publish one from 1024 on\n";
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(1), expected));
}

#[test]
fn a_dry_run_makes_nothing_and_its_lines_work_when_they_are_typed() {
    let system = System::new();
    let before = system.names();
    let line = "run --dry-run --accel tcg --arch amd64 --qemu true --state state --disk d,size=1M a.yml";
    let printed = system.good(line);
    assert_eq!(system.names(), before);
    let lines: Vec<&str> = printed.lines().collect();
    let cache = format!("'--cache={}'", system.cache().display());
    assert_eq!(lines[0], "mkdir -p ./a.mnt");
    assert_eq!(lines[1], format!("lkit mount --arch=amd64 --layout=layout {cache} --offline ./a.yml ./a.mnt"));
    assert_eq!(lines[2], "mkdir -p ./state");
    assert!(lines[3].starts_with("true -machine q35 -accel tcg "), "{}", lines[3]);
    let kernel = "-kernel ./a.mnt/kernel -initrd ./a.mnt/initrd.img -append console=ttyS0";
    assert!(lines[3].contains(kernel), "{}", lines[3]);
    assert_eq!(lines[4..], ["lkit umount ./a.mnt"]);
    if !super::system::can_mount() || cfg!(target_arch = "aarch64") {
        return;
    }
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_lkit")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let script = printed.replace("true -machine", "test -s ./a.mnt/kernel -a -s ./a.mnt/initrd.img; true -machine");
    let mut shell = Command::new("sh");
    let output = shell.args(["-e", "-c", &script]).env("PATH", path).current_dir(system.dir.path()).output().unwrap();
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
}
