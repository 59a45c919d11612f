//! The laws every artifact keeps, for all of the catalog: what laying out reads, what ranges read as, equal bytes.

use std::io::Write as _;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use lkit::base::{Digest, FileKind, MIB, Metadata, Xattr};
use lkit::blob::Store;
use lkit::boot::Kernel;
use lkit::extent::{Bytes, MapBuilder, ReadError, SharedSource, Sink as _, Source, Zeros};
use lkit::layer::{Inner, Layers, Options};
use lkit::output::{Artifact, Board, Catalog, Enclave, Format, Product, System};
use lkit::tree::{Content, Node, Tree, TreeBuilder};

use crate::common::artifact::{Noise, read, scratch};

/// What was read: the source's name, and the range.
type Log = Arc<Mutex<Vec<(&'static str, Range<u64>)>>>;

/// A source that notes every read.
struct Counting {
    name: &'static str,
    content: SharedSource,
    log: Log,
}

impl Source for Counting {
    fn size(&self) -> u64 {
        self.content.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        self.log.lock().unwrap().push((self.name, offset..offset + buf.len() as u64));
        self.content.read_at(buf, offset)
    }
}

fn counting(name: &'static str, content: SharedSource, log: &Log) -> SharedSource {
    Arc::new(Counting { name, content, log: log.clone() })
}

/// The sorts of kernels that media start.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sort {
    /// x86, an EFI program as well.
    Stub,
    /// x86 without EFI stub.
    Direct,
    /// arm64, an EFI program.
    Arm64,
    /// arm64 in a gzip file.
    Arm64Gzip,
}

const SORTS: [Sort; 4] = [Sort::Stub, Sort::Direct, Sort::Arm64, Sort::Arm64Gzip];
const KERNEL_SIZE: u64 = 3 * MIB + 77;

impl Sort {
    fn kernel(self) -> SharedSource {
        let mut head = vec![0; Kernel::HEAD];
        let mut put = |at: usize, field: &[u8]| head[at..at + field.len()].copy_from_slice(field);
        if matches!(self, Self::Stub | Self::Direct) {
            put(0x1fe, b"\x55\xaa");
            put(0x202, b"HdrS\x0f\x02");
            put(0x236, &[1]);
        }
        if self != Self::Direct {
            put(0, b"MZ");
            put(0x3c, b"@\0\0\0PE\0\0");
            put(0x44, if self == Self::Stub { b"\x64\x86" } else { b"\x64\xaa" });
            put(0x58, b"\x0b\x02");
            put(0x58 + 56, &u32::try_from(4 * MIB).unwrap().to_le_bytes());
        }
        if matches!(self, Self::Arm64 | Self::Arm64Gzip) {
            put(56, b"ARM\x64");
        }
        let mut kernel = MapBuilder::default();
        kernel.bytes(&head);
        kernel.whole(&(Arc::new(Noise(KERNEL_SIZE - head.len() as u64)) as SharedSource));
        let kernel = kernel.share();
        if self != Self::Arm64Gzip {
            return kernel;
        }
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&read(&*kernel, 0, usize::try_from(KERNEL_SIZE).unwrap())).unwrap();
        Arc::new(Bytes(gzip.finish().unwrap().into()))
    }
}

/// A root with every type of file, names and sizes at the borders of blocks, and microcode.
fn system(sort: Sort, log: &Log) -> System {
    let kernel = counting("kernel", sort.kernel(), log);
    let dir = scratch(&format!("catalog-{sort:?}-{:?}", std::thread::current().id()));
    let layers = Arc::new(Layers::new(Arc::new(Store::open(&dir, &[]).unwrap()), Options::default()));
    let packed = kernel.clone();
    System {
        kernel: Some(kernel),
        cmdline: Some(b"console=ttyS0 quiet".to_vec()),
        microcode: Some(counting("microcode", Arc::new(Noise(5001)), log)),
        tree: Arc::new(tree(&counting("layer", Arc::new(Noise(64 * MIB)), log))),
        gunzip: Some(Box::new(move || {
            let file = Inner { source: packed.clone(), offset: 0, size: packed.size() };
            layers.open_gzip(&file).map_err(|error| ReadError::wrap("gunzip", error))
        })),
        systemd_boot: None,
        isolinux: None,
        root: None,
        enclave: Enclave::default(),
        board: matches!(sort, Sort::Arm64 | Sort::Arm64Gzip).then(|| board(log)),
        disk_size: 0,
        data_size: 0,
        seed: Digest::of(b"a spec and its images"),
    }
}

fn board(log: &Log) -> Board {
    let tree = |name: &str| (name.to_owned(), counting("device tree", Arc::new(Noise(5003)), log));
    let firmware = vec![("start.elf".to_owned(), counting("firmware", Arc::new(Noise(70_001)), log))];
    Board { trees: vec![tree("a.dtb"), tree("broadcom/bcm2837-rpi-3-b.dtb")], firmware }
}

fn tree(layer: &SharedSource) -> Tree {
    let mut tree = TreeBuilder::new();
    let file = |offset, size| Node::File(Metadata::file(), Content { source: layer.clone(), offset, size });
    for (at, size) in (0..).zip([0, 1, 511, 2048, 4095, 4096, 4097, 131_073, 3_000_001]) {
        tree.insert(format!("usr/sizes/{size}").as_bytes(), file(at * 4 * MIB, size)).unwrap();
    }
    for number in 0..300 {
        tree.insert(format!("etc/many/{number}.conf").as_bytes(), file(number * 1000, number * 3)).unwrap();
    }
    tree.insert(format!("names/{}", "n".repeat(250)).as_bytes(), file(40 * MIB, 70_000)).unwrap();
    tree.insert("names/größe".as_bytes(), file(41 * MIB, 7)).unwrap();
    tree.insert(b"bin/generated", Node::Generated(Metadata { mode: 0o755, ..Metadata::file() }, b"#!/bin/sh\n"))
        .unwrap();
    tree.insert(b"bin/link", Node::Symlink(Metadata::symlink(), b"../usr/sizes/511")).unwrap();
    tree.hard_link(b"bin/hard", b"usr/sizes/131073").unwrap();
    let null = Metadata { kind: FileKind::CharDevice, rdev: (1, 3), ..Metadata::file() };
    tree.insert(b"dev/null", Node::Plain(null)).unwrap();
    let id = tree.lookup(b"usr/sizes/4097").unwrap();
    let capability = Xattr { name: b"security.capability".as_slice().into(), value: [1, 0, 0, 2].as_slice().into() };
    tree.set_xattrs(id, [capability].into_iter().collect());
    tree.finish()
}

#[test]
fn lazy_what_is_ruled_out_costs_one_look_at_the_kernel() {
    for sort in SORTS {
        let log = Log::default();
        let catalog = Catalog::new("x", system(sort, &log));
        assert!(catalog.ruled_out().is_empty(), "{sort:?}");
        assert_eq!(*log.lock().unwrap(), [("kernel", 0..4096)], "{sort:?}");
    }
}

#[test]
fn lazy_an_image_for_an_enclave_is_ruled_out_where_no_enclave_has_the_memory() {
    let ruled_out = |size| {
        let log = Log::default();
        let mut tree = TreeBuilder::new();
        for number in 0..5 {
            let zeros = Content::whole(Arc::new(Zeros(size)) as SharedSource);
            tree.insert(format!("{number}").as_bytes(), Node::File(Metadata::file(), zeros)).unwrap();
        }
        let system = System { tree: Arc::new(tree.finish()), ..system(SORTS[0], &log) };
        let found = Catalog::new("x", system).ruled_out();
        assert!(log.lock().unwrap().iter().all(|(name, _)| *name == "kernel"));
        found.into_iter().map(|(artifact, why)| format!("{}: {why}", artifact.name())).collect::<Vec<_>>()
    };
    assert_eq!(ruled_out(3 << 30), [""; 0]);
    assert_eq!(ruled_out((4 << 30) - 1), ["x.eif: the content is more than an EIF can hold (17179869184 bytes)"]);
}

/// All that a mount names and all that a format writes.
fn artifacts(catalog: &Catalog) -> Vec<Artifact> {
    let written = Format::all().filter_map(|format| catalog.written(format).ok()).flatten();
    catalog.mounted().into_iter().chain(written).collect()
}

/// The artifacts with each product once.
fn products(catalog: &Catalog) -> Vec<Artifact> {
    let mut found: Vec<Artifact> = Vec::new();
    for artifact in artifacts(catalog) {
        if found.iter().all(|other| other.product() != artifact.product()) {
            found.push(artifact);
        }
    }
    found
}

#[test]
fn lazy_laying_out_anything_reads_the_head_of_the_kernel_and_no_other_content() {
    for sort in SORTS {
        let log = Log::default();
        let all = artifacts(&Catalog::new("x", system(sort, &log)));
        assert!(all.len() > 40, "{}", all.len());
        for number in 0..all.len() {
            // A catalog of its own for each, so that nothing hides behind what was laid out before.
            let catalog = Catalog::new("x", system(sort, &log));
            let artifact = artifacts(&catalog).swap_remove(number);
            let size = catalog.system().kernel.as_ref().unwrap().size();
            log.lock().unwrap().clear();
            let source = artifact.open().unwrap();
            assert!(source.size() > 0 && source.data_from(0).is_some());
            for (name, range) in log.lock().unwrap().iter() {
                let head = range.end <= 4096;
                let tail = sort == Sort::Arm64Gzip && range.start >= size - 8;
                assert!(*name == "kernel" && (head || tail), "{sort:?}: {}: {name} at {range:?}", artifact.name());
            }
        }
    }
}

/// Numbers with a fixed seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 20) % limit
    }
}

/// Reads `source` in windows of many MiB that overlap, each whole and in pieces, and returns a digest of all bytes.
fn compared(name: &str, source: &SharedSource, numbers: &mut Numbers) -> blake3::Hash {
    const WINDOW: u64 = 16 * MIB;
    let mut hash = blake3::Hasher::new();
    let mut start = 0;
    while start < source.size() {
        let from = start.saturating_sub(numbers.below(70_000));
        let end = source.size().min(start + WINDOW);
        let whole = read(&**source, from, usize::try_from(end - from).unwrap());
        for round in 0..12 {
            let at = numbers.below(end - from);
            let len = (1 + numbers.below(1 << (8 + round))).min(end - from - at);
            let (at, len) = (usize::try_from(at).unwrap(), usize::try_from(len).unwrap());
            let part = read(&**source, from + at as u64, len);
            assert!(part == whole[at..at + len], "{name}: {len} bytes at {}", from + at as u64);
        }
        let hole = from..source.data_from(from).map_or(end, |data| data.start.clamp(from, end));
        let zeros = &whole[..usize::try_from(hole.end - hole.start).unwrap()];
        assert!(zeros.iter().all(|byte| *byte == 0), "{name}: {hole:?} is said to be a hole");
        hash.update(&whole[usize::try_from(start - from).unwrap()..]);
        start = end;
    }
    assert!(source.read_at(&mut [0; 2], source.size() - 1).is_err(), "{name} ends at its size");
    hash.finalize()
}

#[test]
fn prop_any_range_of_any_artifact_equals_that_range_of_the_whole_and_bytes_are_the_same_again() {
    let mut numbers = Numbers(7);
    let mut seen = Vec::new();
    for sort in [Sort::Stub, Sort::Arm64Gzip] {
        let catalogs = [(); 2].map(|()| Catalog::new("x", system(sort, &Log::default())));
        let [first, second] = catalogs.each_ref().map(products);
        for (first, second) in first.iter().zip(&second).filter(|(first, _)| !seen.contains(&first.product())) {
            let mut digest = |artifact: &Artifact| compared(artifact.name(), artifact.open().unwrap(), &mut numbers);
            assert!(digest(first) == digest(second), "{} differs", first.name());
        }
        seen.extend(first.iter().map(Artifact::product));
    }
    assert_eq!(seen.len(), Product::COUNT - 3 + Product::COUNT - 7);
}

#[test]
fn every_product_is_in_a_mount() {
    let catalog = Catalog::new("x", system(Sort::Stub, &Log::default()));
    let names: Vec<String> = catalog.mounted().iter().map(|artifact| artifact.name().to_owned()).collect();
    let issue = "kernel initrd.img cmdline x-kernel x-initrd.img x-cmdline x.iso x-efi.iso x-efi-initrd.iso x-root.iso \
                 x-bios.img x-efi.img x.raw x.qcow2 x-efi.qcow2 x.img.tar.gz x.vhd x-dynamic.vhd x.vmdk x.vhdx x.ova x.efi \
                 x.eif x-squashfs.img x-erofs.img x.tar x.docker x-initrd.tar";
    for name in issue.split_whitespace() {
        assert!(names.iter().any(|found| found == name), "no {name}");
    }
    assert_eq!(names.len(), issue.split_whitespace().count());
    // The archive alone is a part of others, and no file; four are for boards.
    assert_eq!(products(&catalog).len(), Product::COUNT - 7);
    let catalog = Catalog::new("x", system(Sort::Arm64, &Log::default()));
    let all: Vec<String> = catalog.mounted().iter().map(|artifact| artifact.name().to_owned()).collect();
    let boards: Vec<&String> = all.iter().filter(|name| !names.contains(name)).collect();
    assert_eq!(boards, ["x.itb", "x-boot.scr", "x-rpi3.img", "x-rpi3.tar"]);
    assert_eq!(products(&catalog).len(), Product::COUNT - 3);
}

#[test]
fn what_cannot_be_made_says_why_and_the_rest_is_there() {
    let mut system = system(Sort::Stub, &Log::default());
    system.kernel = Some(Arc::new(Noise(100_000)));
    let catalog = Catalog::new("x", system);
    let made = |artifact: &&Artifact| match artifact.open() {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.to_string(), format!("cannot lay out `{}`", artifact.name()));
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert_eq!(cause, "the kernel is neither an EFI program nor a 64-bit bzImage");
            false
        }
    };
    let mounted = catalog.mounted();
    let names: Vec<&str> = mounted.iter().filter(made).map(Artifact::name).collect();
    let expected = "kernel initrd.img cmdline x-kernel x-initrd.img x-cmdline x.tar x.docker x-initrd.tar \
                    x.eif x-squashfs.img x-erofs.img x-root.iso";
    assert_eq!(names.join(" "), expected);
}

#[test]
fn regression_a_kernel_that_could_not_be_read_is_tried_again() {
    struct Once(Mutex<bool>, SharedSource);
    impl Source for Once {
        fn size(&self) -> u64 {
            self.1.size()
        }
        fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
            if std::mem::replace(&mut *self.0.lock().unwrap(), true) {
                return self.1.read_at(buf, offset);
            }
            Err(ReadError::new(lkit::base::ErrorKind::Unreachable, "no route"))
        }
    }
    let mut system = system(Sort::Stub, &Log::default());
    system.kernel = Some(Arc::new(Once(Mutex::new(false), Sort::Stub.kernel())));
    let catalog = Catalog::new("x", system);
    let disk = catalog.written(Format::named("raw-efi").unwrap()).unwrap().remove(0);
    assert!(disk.open().is_err());
    assert!(disk.open().is_ok());
}
