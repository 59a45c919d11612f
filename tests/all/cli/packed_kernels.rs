//! Kernels that are packed in each way that Linux packs them, as `--decompress-kernel` and Firecracker take them.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use super::system::{SPEC, System, assert_says, image, noise, tar};
use crate::common::have;

/// Where the payload of these kernels begins.
const PAYLOAD: usize = 4096;

/// What a program makes of standard input.
fn piped(command: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(command[0]);
    let mut child = child.args(&command[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{command:?}");
    output.stdout
}

/// A bzImage of protocol 2.15 whose payload is this stream, with the size of what is in it behind it unless it has one.
fn bz_image(stream: &[u8], size: Option<usize>) -> Vec<u8> {
    let size = size.map(|size| u32::try_from(size).unwrap().to_le_bytes());
    let payload = [stream, size.as_ref().map_or(&[], |size| &size[..])].concat();
    let mut kernel = vec![0; PAYLOAD];
    let mut put = |at: usize, field: &[u8]| kernel[at..at + field.len()].copy_from_slice(field);
    put(0x1f1, &[3]);
    put(0x1fe, b"\x55\xaa\xeb\x66HdrS\x0f\x02");
    put(0x236, &[1, 0]);
    put(0x248, &u32::try_from(PAYLOAD - 4 * 512).unwrap().to_le_bytes());
    put(0x24c, &u32::try_from(payload.len()).unwrap().to_le_bytes());
    [kernel, payload, noise(5000)].concat()
}

/// A system with this kernel.
fn system(kernel: &[u8]) -> System {
    let mut system = System::new();
    let descriptor = image(&system.layout, &[&tar(&[("kernel", kernel)])]);
    system.layout.name("docker.io/test/packed:1", &descriptor);
    system
        .write("a.yml", SPEC.replace("test/kernel:1", "test/packed:1").replace("  cmdline", "  tar: none\n  cmdline"));
    system
}

#[test]
fn oracle_a_kernel_is_unpacked_as_the_tool_that_packed_it_does() {
    if !have(&["xz", "zstd", "lz4", "gzip"]) {
        return;
    }
    let vmlinux = [b"\x7fELF".to_vec(), noise(200_000), vec![7; 9 << 20], noise(3_000_000), vec![0; 70_000]].concat();
    // As `scripts/Makefile.lib` and `scripts/xz_wrap.sh` of Linux 6.12 pack.
    let packers: [&[&str]; 4] = [
        &["xz", "--check=crc32", "--x86", "--lzma2=dict=128MiB", "-c"],
        &["zstd", "-22", "--ultra", "-qc"],
        &["lz4", "-l", "-9", "-qc"],
        &["gzip", "-n", "-c", "-9"],
    ];
    for packer in packers {
        let size = (packer[0] != "gzip").then_some(vmlinux.len());
        let system = system(&bz_image(&piped(packer, &vmlinux), size));
        system.good("build --decompress-kernel a.yml");
        assert!(fs::read(system.path("a-kernel")).unwrap() == vmlinux, "{packer:?}");
        system.good("build --name b a.yml");
        assert!(fs::read(system.path("b-kernel")).unwrap() != vmlinux);
    }
}

#[test]
fn a_packed_kernel_that_is_damaged_is_an_error_and_no_file() {
    let stream = zstd::encode_all(&noise(400_000)[..], 1).unwrap();
    let system = system(&bz_image(&stream, Some(399_999)));
    let said = system.bad("build --decompress-kernel a.yml", 5);
    assert_says(&said, &["cannot read compressed content", "zstd data", "it holds more than the size behind it says"]);
    assert_eq!(system.names(), ["a.yml", "cache", "layout", "mnt"]);
}

#[test]
fn a_kernel_that_is_packed_in_an_older_way_is_told() {
    let system = system(&bz_image(b"BZh91AY&SY", Some(1)));
    let said = system.bad("build --decompress-kernel a.yml", 1);
    assert_says(&said, &["the payload of its bzImage is neither gzip, xz, zstd nor LZ4", "a.yml:2:10"]);
}
