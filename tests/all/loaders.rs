//! The boot loaders as they are kept: built again from their sources, and read by other tools.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use lkit::boot::{Kernel, KernelKind, uki_stub};
use lkit::extent::SharedSource;
use lkit::format::{Section, uki};

use crate::common;
use crate::common::artifact::{Noise, read, scratch, write};
use crate::common::{have, root, run, skip_unless};

fn built() -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(root().join("src/boot/built")).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    files
}

/// A program's bytes.
fn program(file: &PathBuf) -> Vec<u8> {
    let text = fs::read_to_string(file).unwrap();
    let digits: Vec<char> = text.lines().filter(|line| !line.starts_with('#')).flat_map(str::chars).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap()).collect()
}

#[test]
fn oracle_clang_and_nasm_build_the_same_bytes_again() {
    if !have(&["nasm", "clang", "ld.lld", "lld-link"]) {
        return;
    }
    let dir = scratch("loaders");
    let output = Command::new(root().join("tools/loaders")).arg(&dir).output().unwrap();
    common::stdout("tools/loaders", &output);
    assert_eq!(built().len(), 9);
    for kept in built() {
        let (kept_text, again) = (fs::read_to_string(&kept).unwrap(), dir.join(kept.file_name().unwrap()));
        let again = fs::read_to_string(again).unwrap();
        let tools = |text: &str| text.lines().next().unwrap().to_owned();
        let same_tools = tools(&kept_text) == tools(&again);
        if skip_unless(same_tools, &format!("other tools: {}, {}", tools(&kept_text), tools(&again))) {
            assert!(kept_text == again, "{} differs; run tools/loaders", kept.display());
        }
    }
}

#[test]
fn oracle_objdump_reads_each_program_for_x86() {
    if !have(&["objdump"]) {
        return;
    }
    let dir = scratch("loaders-objdump");
    for file in built().into_iter().filter(|file| file.to_str().unwrap().ends_with("-x64.hex")) {
        let path = dir.join("program.efi");
        fs::write(&path, program(&file)).unwrap();
        let headers = run("objdump", ["-p".as_ref(), path.as_os_str()]);
        assert!(headers.contains("(EFI application)"), "{headers}");
        let sections = run("objdump", ["-h".as_ref(), path.as_os_str()]);
        assert!(sections.contains("pei-x86-64") && !sections.contains(".debug"), "{sections}");
        assert!(fs::metadata(&path).unwrap().len() < 8192, "{} grew", file.display());
    }
}

#[test]
fn oracle_objcopy_takes_the_parts_out_of_a_unified_kernel_image() {
    if !have(&["objdump", "objcopy"]) {
        return;
    }
    let dir = scratch("loaders-uki");
    let (image, part) = (dir.join("x.efi"), dir.join("part"));
    let sizes = [(".cmdline", 77), (".initrd", 3_000_001), (".linux", 600_000)];
    let content = |size| -> SharedSource { Arc::new(Noise(size)) };
    let sections = sizes.map(|(name, size)| Section::data(name, content(size)));
    let stub = uki_stub(&Kernel { kind: KernelKind::BzImage, bios: true, image: false }).unwrap();
    write(&uki(stub, &sections).unwrap(), &image);
    for (name, size) in sizes {
        let only = format!("--only-section={name}");
        run("objcopy", ["-O", "binary", &only, image.to_str().unwrap(), part.to_str().unwrap()]);
        let taken = fs::read(&part).unwrap();
        let size = usize::try_from(size).unwrap();
        // A section in the file is padded to 512 bytes; its size in memory is exact.
        assert!(taken.len() >= size && taken.len() < size + 512, "{name}: {}", taken.len());
        assert!(taken[..size] == read(&*content(size as u64), 0, size), "{name}");
    }
}
