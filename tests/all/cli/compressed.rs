//! What is compressed while it is written, judged by gzip, xz, zstd, cpio and unsquashfs.

use std::fs;
use std::process::Command;

use lkit::base::Digest;

use super::system::{LARGE, SPEC, System, assert_says, image, kernel, noise, refused, tar};
use crate::common::{have, run, stdout};

/// What a program writes to standard output, byte for byte.
fn output_of(program: &str, args: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn oracle_gzip_and_zstd_find_the_uncompressed_initrd() {
    let system = System::new();
    if !have(&["gzip", "zstd", "cpio"]) {
        return;
    }
    system.good("build a.yml");
    let plain = fs::read(system.path("a-initrd.img")).unwrap();
    let path = system.path("a-initrd.img");
    let path = path.to_str().unwrap();
    for tool in ["gzip", "zstd"] {
        for level in ["", ":1", ":9"] {
            system.good(&format!("build --compress {tool}{level} a.yml"));
            let test = format!("{tool} -q -t < '{path}'");
            run("sh", ["-c", &test]);
            let unpacked = output_of("sh", &["-c", &format!("{tool} -q -d -c < '{path}'")]);
            assert!(unpacked == plain, "{tool}{level}");
        }
    }
    // Nearly all of it is noise, so there is not much to gain.
    assert!(fs::metadata(path).unwrap().len() < plain.len() as u64);
    let listed = output_of("sh", &["-c", &format!("zstd -d -c < '{path}' | cpio -t --quiet")]);
    assert_says(&String::from_utf8(listed).unwrap(), &["etc/motd", "usr/large", "lib/modules/1/a.ko"]);
    // One frame, and a window that a booting machine has room for.
    let told = run("sh", ["-c", &format!("zstd -l -v '{path}' 2>&1")]);
    let words = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_says(&words, &["Frames: 1", "XXH64"]);
}

#[test]
fn compressed_bytes_depend_on_the_spec_alone_and_their_digest_is_told() {
    let system = System::new();
    for compression in ["gzip", "zstd:5"] {
        let line = format!("build --compress {compression} --digest a.yml");
        let sums = system.good(&line);
        let mut one = Command::new("taskset");
        one.args(["-c", "0", env!("CARGO_BIN_EXE_lkit")]).args(line.split(' ').take(1));
        one.args(["--offline", "--layout", "layout"]).args(line.split(' ').skip(1));
        one.env("LKIT_CACHE", system.cache()).current_dir(system.dir.path());
        assert_eq!(stdout("taskset", &one.output().unwrap()), sums, "one processor");
        let told = system.good(&format!("build --compress {compression} --json a.yml"));
        let built = fs::read(system.path("a-initrd.img")).unwrap();
        assert_says(&sums, &[&format!("{}  a-initrd.img", Digest::of(&built).hex())]);
        assert_says(&told, &[&format!("\"size\":{}", built.len())]);
        // The kernel and the command line stay as they are.
        assert!(fs::read(system.path("a-kernel")).unwrap() == kernel());
        assert_eq!(fs::read(system.path("a-cmdline")).unwrap(), b"console=ttyS0");
    }
}

#[test]
fn oracle_gzip_xz_and_zstd_find_the_disks_and_isos_that_were_compressed_while_they_were_written() {
    let system = System::new();
    if !have(&["gzip", "xz", "zstd", "cmp"]) {
        return;
    }
    system.good("build -f raw-efi -f raw-bios -f iso-bios -f vmdk a.yml");
    fs::create_dir(system.path("out")).unwrap();
    let line = "build -f raw-efi -f raw-bios -f iso-bios -f vmdk --compress raw-efi=zstd:1 --compress iso-bios=gzip:1 \
                --compress raw-bios=xz:1 --dir out a.yml";
    system.good(line);
    let mut names: Vec<_> = fs::read_dir(system.path("out")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["a-bios.img.xz", "a-efi.img.zst", "a.iso.gz", "a.vmdk"]);
    let rows = [
        ("zstd", "out/a-efi.img.zst", "a-efi.img"),
        ("gzip", "out/a.iso.gz", "a.iso"),
        ("xz", "out/a-bios.img.xz", "a-bios.img"),
    ];
    for (tool, packed, plain) in rows {
        let command =
            format!("{tool} -q -d -c < '{}' | cmp - '{}'", system.path(packed).display(), system.path(plain).display());
        assert_eq!(run("sh", ["-c", &command]), "", "{packed}");
    }
    let streamed = system.command("build -f raw-efi --compress zstd:1 -o - a.yml").output().unwrap();
    assert!(streamed.status.success() && streamed.stdout == fs::read(system.path("out/a-efi.img.zst")).unwrap());
}

#[test]
fn microcode_stays_uncompressed_in_front() {
    let mut system = System::new();
    let microcode = noise(1001);
    let layer = tar(&[("kernel", &kernel()), ("kernel.tar", &tar(&[])), ("ucode.cpio", &microcode)]);
    let descriptor = image(&system.layout, &[&layer]);
    system.layout.name("docker.io/test/kernel:2", &descriptor);
    system.write("a.yml", SPEC.replace("kernel:1", "kernel:2\n  ucode: ucode.cpio"));
    system.good("build a.yml");
    let plain = fs::read(system.path("a-initrd.img")).unwrap();
    system.good("build --compress zstd a.yml");
    let packed = fs::read(system.path("a-initrd.img")).unwrap();
    assert!(packed[..1001] == microcode && packed[1001..1004] == [0; 3] && packed[..1004] == plain[..1004]);
    assert_eq!(packed[1004..1008], 0xfd2f_b528_u32.to_le_bytes());
    assert!(zstd::decode_all(&packed[1004..]).unwrap() == plain[1004..]);
}

#[test]
fn what_cannot_be_compressed_is_refused() {
    let system = System::new();
    for compression in ["bzip2", "gzip:10", "xz:0", "zstd:20", "zstd:x", ""] {
        let said = system.bad(&format!("build --compress={compression} a.yml"), 2);
        let message = format!("--compress: `{compression}` is no compression");
        assert_says(&said, &[&message, "hint: use `gzip`, `lz4`, `xz` or `zstd`"]);
    }
    for (format, codec, instead) in [("squashfs", "lz4", "`gzip`, `xz`"), ("erofs", "gzip", "`lz4`")] {
        let said = system.bad(&format!("build -f kernel+{format} --compress {codec} a.yml"), 2);
        let message = format!("`kernel+{format}` cannot be compressed with `{codec}`");
        assert_says(&said, &[&message, &format!("hint: use {instead} or `zstd`")]);
    }
    let said = system.bad("build --compress xz a.yml", 2);
    assert_says(&said, &["`kernel+initrd` cannot be compressed with `xz`", "hint: use `gzip` or `zstd`"]);
    for format in ["vmdk", "tar", "tar-kernel-initrd", "kernel+iso"] {
        let said = system.bad(&format!("build --compress gzip -f kernel+initrd -f {format} a.yml"), 2);
        let message = format!("`--compress` is for initrds, raw disks, ISOs, squashfs and EROFS, not for `{format}`");
        assert_says(&said, &[&message, &format!("hint: build `{format}` without `--compress`")]);
    }
    assert_says(&system.bad("build --compress gzip -o x a.yml", 2), &["not for `tar`"]);
    let said = system.bad("build --compress raw-efi=zstd a.yml", 2);
    assert_says(&said, &["`--compress` is for `raw-efi`, which is not written", "hint: add `-f raw-efi`"]);
    let said = system.bad("build -f raw-efi --compress raw-efi=zstd --compress raw-efi=gzip a.yml", 2);
    assert_says(&said, &["`raw-efi=gzip` is the second one for the same format", "hint: leave out one of them"]);
    assert_says(&system.bad("build --compress x=gzip a.yml", 2), &["`x` is no output format"]);
    assert_eq!(system.names(), ["a.yml", "layout", "mnt"]);
}

#[test]
fn oracle_unsquashfs_finds_the_root_that_was_compressed_while_it_was_written() {
    let system = System::new();
    if !have(&["unsquashfs"]) {
        return;
    }
    system.good("build -f kernel+squashfs a.yml");
    let path = system.path("a-squashfs.img");
    let (plain, path) = (fs::metadata(&path).unwrap().len(), path.to_str().unwrap().to_owned());
    let listed = |path: &str| output_of("unsquashfs", &["-lln", path]);
    let names = listed(&path);
    for codec in ["gzip", "xz", "zstd"] {
        let told = system.good(&format!("build -f kernel+squashfs --compress {codec} --json a.yml"));
        let size = fs::metadata(&path).unwrap().len();
        assert!(size <= plain);
        assert_says(
            &String::from_utf8(output_of("unsquashfs", &["-s", &path])).unwrap(),
            &[&format!("Compression {codec}\n")],
        );
        assert_says(&told, &[&format!("\"size\":{size}")]);
        assert!(listed(&path) == names, "{codec}");
        assert!(output_of("unsquashfs", &["-cat", &path, "usr/large"]) == noise(LARGE), "{codec}");
    }
    let one =
        ["-c", "0", env!("CARGO_BIN_EXE_lkit"), "build", "--offline", "--layout", "layout", "-f", "kernel+squashfs"];
    let mut one_processor = Command::new("taskset");
    one_processor.args(one).args(["--compress", "zstd", "--name", "b", "a.yml"]).current_dir(system.dir.path());
    stdout("taskset", &one_processor.env("LKIT_CACHE", system.cache()).output().unwrap());
    assert!(fs::read(system.path("b-squashfs.img")).unwrap() == fs::read(&path).unwrap());
}

#[test]
fn a_compressed_root_is_written_whole_or_not_at_all() {
    let system = System::new();
    run("mkfifo", [system.path("pipe").to_str().unwrap()]);
    system.write("root.yml", "init:\n  - test/init:1\n");
    for (line, option) in [("-o -", "-o"), ("-o pipe", "-o"), ("--digest", "--digest")] {
        let said = system.bad(&format!("build -f kernel+squashfs --compress zstd {line} root.yml"), 2);
        let message = format!("`{option}` cannot stream `kernel+squashfs` with `--compress`");
        assert_says(&said, &[&message, "hint: write it to a file with `--dir` or `-o FILE`"]);
    }
    fs::create_dir(system.path("out")).unwrap();
    let build = "build -f kernel+squashfs --compress zstd --dir out root.yml";
    let limited = "trap '' XFSZ; ulimit -f 16; exec \"$0\" \"$@\"";
    let mut shell = Command::new("sh");
    shell.args(["-c", limited, env!("CARGO_BIN_EXE_lkit"), "build", "--offline", "--layout", "layout"]);
    shell.args(build.split(' ').skip(1)).env("LKIT_CACHE", system.cache()).current_dir(system.dir.path());
    // The indexes of layers are there already, so that the root alone is too large.
    system.good("inspect root.yml");
    let said = refused(build, &shell.output().unwrap(), 1);
    assert_says(&said, &["cannot write `out/root-squashfs.img`"]);
    assert_eq!(fs::read_dir(system.path("out")).unwrap().count(), 0);
    system.good("build -f kernel+squashfs --compress zstd -o root.img root.yml");
    assert_eq!(fs::read(system.path("root.img")).unwrap()[..4], *b"hsqs");
}
