//! `lkit run` and what it hands to monitors: recording stand-ins take the place of their programs.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use super::system::{SPEC, System, assert_says, can_mount, gzip, image, kernel, signal, tar, wait_for};
use crate::common::{have, install_script, run, skip_unless, stderr};

/// A monitor that notes its arguments, a line each, and copies the file `$1` of its script to `copy`.
fn stand_in(system: &System, file: &str) {
    let script = format!("#!/bin/sh\nprintf '%s\\n' \"$@\" >words\ncat \"{file}\" >copy\n");
    install_script(&script, &system.path("monitor"));
    fs::create_dir_all(system.path("tmp")).unwrap();
}

/// Runs the program, which is to succeed and to leave nothing among the temporary files; what it says.
fn ran(system: &System, line: &str) -> String {
    let mut command = system.command(line);
    let output = command.env("TMPDIR", system.path("tmp")).output().unwrap();
    assert!(output.status.success(), "{line}: {}", stderr(&output));
    assert_eq!(fs::read_dir(system.path("tmp")).unwrap().count(), 0, "{line}");
    stderr(&output)
}

fn words(system: &System) -> Vec<String> {
    fs::read_to_string(system.path("words")).unwrap().lines().map(str::to_owned).collect()
}

/// What stands behind an option.
fn value(words: &[String], option: &str) -> String {
    let at = words.iter().position(|word| word == option).unwrap_or_else(|| panic!("no {option} in {words:?}"));
    words[at + 1].clone()
}

/// A system whose kernel is an ELF file in a gzip file.
fn compressed() -> System {
    let mut system = System::new();
    let kernel = tar(&[("kernel", &gzip(b"\x7fELF of the kernel")), ("kernel.tar", &tar(&[]))]);
    let descriptor = image(&system.layout, &[&kernel]);
    system.layout.name("docker.io/test/kernel:3", &descriptor);
    system.write("a.yml", SPEC.replace("kernel:1", "kernel:3"));
    system
}

#[test]
fn fuse_firecracker_reads_a_machine_from_the_mount_and_gets_an_uncompressed_kernel() {
    let system = compressed();
    if !can_mount() {
        return;
    }
    let kernel = r#"$(sed -n 's/.*"kernel_image_path":"\([^"]*\)".*/\1/p' "$3")"#;
    stand_in(&system, kernel);
    system.write("disk", "");
    let said = ran(&system, "run firecracker --program ./monitor --mem 256 --cpus 2 --disk disk a.yml");
    assert_says(&said, &["the machine has no network, since Firecracker has none of its own"]);
    assert_eq!(fs::read(system.path("copy")).unwrap(), b"\x7fELF of the kernel");
    let words = words(&system);
    assert_eq!(words[..2], ["--no-api", "--config-file"]);
    assert!(words[2].starts_with(system.path("tmp").to_str().unwrap()) && words[2].ends_with("/firecracker.json"));
    let printed = system.good("run firecracker --dry-run --mem 256 --cpus 2 --disk disk a.yml");
    let lines: Vec<&str> = printed.lines().collect();
    assert_says(lines[1], &["lkit mount ", " --decompress-kernel "]);
    assert_eq!(*lines.last().unwrap(), "lkit umount ./a.mnt");
    assert_eq!(lines[lines.len() - 2], "firecracker --no-api --config-file ./firecracker.json");
    let config = printed.split("printf %s '").nth(1).unwrap().split("' >./firecracker.json").next().unwrap();
    let expected = json!({
        "boot-source": {"kernel_image_path": "./a.mnt/kernel", "initrd_path": "./a.mnt/initrd.img",
                        "boot_args": "console=ttyS0 reboot=k panic=1"},
        "machine-config": {"vcpu_count": 2, "mem_size_mib": 256},
        "drives": [{"drive_id": "disk0", "path_on_host": "./disk", "is_root_device": false, "is_read_only": false}],
        "entropy": {},
    });
    assert_eq!(serde_json::from_str::<Value>(config).unwrap(), expected);
}

#[test]
fn a_compressed_kernel_is_not_handed_to_firecracker() {
    let system = System::new();
    system.write("x-kernel", kernel());
    system.write("x-initrd.img", "");
    let said = system.bad("run firecracker --arch amd64 --program /bin/true x", 1);
    assert_says(&said, &["Firecracker cannot start `x-kernel`, which is a compressed kernel", "`--decompress-kernel`"]);
}

#[test]
fn fuse_every_other_monitor_gets_the_paths_of_the_system() {
    let system = System::new();
    if !can_mount() {
        return;
    }
    let kernels =
        [("cloud-hypervisor", "--kernel"), ("crosvm", "--params"), ("vfkit", "--bootloader"), ("hyperkit", "-f")];
    for (monitor, option) in kernels {
        stand_in(&system, "/dev/null");
        ran(&system, &format!("run {monitor} --program ./monitor a.yml"));
        let words = words(&system);
        let text = words.join(" ");
        let place = system.path("tmp").display().to_string();
        assert!(text.contains(&format!("{place}/lkit-run-")) && text.contains("console=ttyS0"), "{monitor}: {text}");
        value(&words, option);
    }
}

#[test]
fn fuse_metadata_is_on_a_cd_and_no_file_is_written() {
    let system = System::new();
    if !can_mount() || !have(&["isoinfo"]) {
        return;
    }
    system.write("a-bios.img", "");
    system.write("data", "from a file\n");
    // The CD is the only drive of its kind.
    stand_in(&system, r#"$(printf '%s\n' "$@" | sed -n 's/.*media=cdrom.*,file=//p')"#);
    let config = || run("isoinfo", ["-R", "-x", "/config", "-i", system.path("copy").to_str().unwrap()]);
    ran(&system, "run --accel tcg --qemu ./monitor --data --x a-bios.img");
    assert_eq!(config(), "--x");
    ran(&system, "run --accel tcg --qemu ./monitor --data-file data a.yml");
    assert_eq!(config(), "from a file\n");
    assert_eq!(
        system.names(),
        ["a-bios.img", "a.yml", "cache", "copy", "data", "layout", "mnt", "monitor", "tmp", "words"]
    );
    // Where there are no CDs, it is found by the name of its volume.
    stand_in(&system, r#"$(printf '%s\n' "$@" | sed -n 's/^path=\(.*data.iso\),.*/\1/p')"#);
    ran(&system, "run cloud-hypervisor --program ./monitor --data x a.yml");
    assert_says(&run("isoinfo", ["-d", "-i", system.path("copy").to_str().unwrap()]), &["\nVolume id: cidata\n"]);
}

#[test]
fn a_dry_run_prints_how_metadata_is_made_and_shares_are_served() {
    let system = System::new();
    system.write("a-bios.img", "");
    let line = "run --dry-run --accel tcg --virtiofsd fsd --virtiofs layout --state st --data-file a.yml a-bios.img";
    let printed = system.good(line);
    let lines: Vec<&str> = printed.lines().collect();
    let made = [
        "mkdir -p ./st",
        "lkit metadata create --data-file ./a.yml ./st/data.iso",
        &format!("fsd -f -o 'source={}' --socket-path ./st/virtiofs0 &", system.path("layout").display()),
    ];
    assert_eq!(lines[..3], made);
    assert_says(lines[3], &["media=cdrom,readonly=on,format=raw,file=./st/data.iso ", ",path=./st/virtiofs0 "]);
    assert_says(lines[3], &[" -pidfile ./st/qemu.pid "]);
    let printed = system.good("run --dry-run crosvm --data -x a.yml");
    assert_says(&printed, &["\nlkit metadata create --cidata -- ./data.iso -x\ncrosvm run "]);
    assert!(!system.path("st").exists());
}

#[test]
fn a_served_system_is_named_by_its_url() {
    let system = System::new();
    let printed = system.good("run --dry-run --accel tcg --arch amd64 --from nbd://h:10809 a.yml");
    assert!(printed.ends_with(" -drive id=boot,if=virtio,snapshot=on,format=raw,file=nbd://h:10809/a-bios.img\n"));
    let printed = system.good("run --dry-run --accel tcg --arch amd64 --uefi --from http://h --name b a.yml");
    assert_says(&printed, &["-bios /usr/share/ovmf/OVMF.fd ", ",format=raw,file=http://h/b-efi.img\n"]);
    let printed = system.good("run --dry-run --accel tcg --arch amd64 --from http://127.0.0.1:8080 a.yml");
    assert_says(&printed, &[" -netdev user,id=net0,bootfile=http://10.0.2.2:8080/ipxe ", " -boot n\n"]);
    let said = system.bad("run --dry-run --from ftp://h a.yml", 2);
    assert_says(&said, &["--from: `ftp://h` is nothing that `lkit serve` serves", "hint: write `nbd://HOST:PORT`"]);
    let said = system.bad("run --dry-run --arch amd64 --networking none --from http://h a.yml", 2);
    assert_says(&said, &["`--from http://h` starts the machine from its network, and it has none of QEMU's own"]);
    let said = system.bad("run firecracker --dry-run --from nbd://h a.yml", 1);
    assert_says(&said, &["Firecracker cannot start from what `lkit serve` serves"]);
    assert_eq!(system.names(), ["a.yml", "layout", "mnt"]);
}

#[test]
fn the_files_of_a_prefix_are_chosen_by_linuxkits_options() {
    let system = System::new();
    for name in ["x-kernel", "x-initrd.img", "x-squashfs.img"] {
        system.write(name, "");
    }
    assert_says(&system.good("run --dry-run --accel tcg --kernel x"), &["-kernel ./x-kernel -initrd ./x-initrd.img"]);
    let printed = system.good("run --dry-run --accel tcg --squashfs x");
    assert_says(&printed, &["-kernel ./x-kernel ", "root=/dev/vda", "file=./x-squashfs.img"]);
    assert!(!printed.contains("-initrd"), "{printed}");
    let said = system.bad("run --dry-run --squashfs a.yml", 2);
    assert_says(&said, &["--squashfs: there is no `a.yml-squashfs.img`", "`--root squashfs`"]);
}

#[test]
fn a_machine_in_the_background_is_ended_by_its_process_id() {
    let system = System::new();
    system.write("a-bios.img", "");
    let script = "#!/bin/sh\necho console\necho $$ >pid.new\nmv pid.new pid\nexec sleep 600\n";
    install_script(script, &system.path("qemu"));
    fs::create_dir_all(system.path("tmp")).unwrap();
    let mut command = system.command("run --accel tcg --qemu ./qemu --state st --detached --data x a-bios.img");
    if !can_mount() {
        return;
    }
    command.env("TMPDIR", system.path("tmp")).stdout(Stdio::null()).stderr(Stdio::null());
    assert_eq!(command.status().unwrap().code(), Some(0));
    wait_for("the machine", || system.path("pid").exists());
    let pid: u32 = fs::read_to_string(system.path("pid")).unwrap().trim().parse().unwrap();
    assert_says(&fs::read_to_string(system.path("st/console.log")).unwrap(), &["console\n"]);
    assert!(fs::read_dir(system.path("tmp")).unwrap().count() > 0);
    signal("TERM", pid);
    wait_for("what was made for it to go", || fs::read_dir(system.path("tmp")).unwrap().count() == 0);
}

#[test]
fn a_machine_that_does_not_start_in_the_background_is_told() {
    let system = System::new();
    system.write("a-bios.img", "");
    install_script("#!/bin/sh\necho no such device\nexit 1\n", &system.path("qemu"));
    if !can_mount() {
        return;
    }
    let said = system.bad("run --accel tcg --qemu ./qemu --state st --detached --data x a-bios.img", 1);
    assert_says(&said, &["exit status: 1", "hint: read what it says in `st/console.log`"]);
    assert_eq!(fs::read_to_string(system.path("st/console.log")).unwrap(), "no such device\n");
}

#[test]
fn oracle_qemu_connects_to_the_server_of_a_share() {
    let system = System::new();
    let server = ["/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd"].iter().any(|path| Path::new(path).exists());
    let is_root = rustix::process::geteuid().is_root();
    if !have(&["qemu-system-x86_64"]) || !skip_unless(server && is_root, "no virtiofsd, which needs root") {
        return;
    }
    fs::write(system.path("a-bios.img"), vec![0; 1 << 20]).unwrap();
    let output = super::machines::started(&system, &["--virtiofs", "layout", "a-bios.img"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}
