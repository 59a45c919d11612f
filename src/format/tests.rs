//! The digest of each format's bytes, laid out from samples that reach into every structure: bytes change on purpose only.

use std::sync::Arc;

use zerocopy::{FromZeros as _, IntoBytes as _};

use super::pe::{CoffHeader, Headers, OptionalHeader, PE32_PLUS, SIGNATURE, SIGNATURE_OFFSET, SectionHeader};
use super::*;
use crate::base::{Digest, FileKind, MIB, Metadata, Xattr};
use crate::extent::{Bytes, MapBuilder, SharedSource, Sink as _, Source as _, Zeros};
use crate::tree::{Content, Node, Tree, TreeBuilder};

/// What each format's digest must be.
const DIGESTS: [(&str, &str); 18] = [
    ("cpio", "80ff217db02a9154299c87537180ebee"),
    ("tar", "c5f5b978c963a54a60f5227ab1888680"),
    ("squashfs", "67f02a1fbc7559443c53f2b9074c6a50"),
    ("erofs", "1ac6bbe1ab344591e84bf31cbd7148c5"),
    ("iso", "e4a0773de822572c67aade3f6358ecde"),
    ("fat12", "e84322a1f1f94bfc244148c687a83eda"),
    ("fat16", "35f42450e3ac423c97ba7e9b92605a48"),
    ("fat32", "f5b0362df285d55b28db1f5c5d8ace07"),
    ("qcow2", "92e3871fd33bdc8aff08a60bfaae903e"),
    ("fixed vhd", "361e61f3561fa20f735ef69b3955b547"),
    ("dynamic vhd", "fe5eea2d2dcaf1363b178b9c3bf99587"),
    ("vhdx", "4333127f544c9d07ececb613a7eb6776"),
    ("vmdk", "46b185e4f3a4bcd422511fba13c39c81"),
    ("gzip", "365d685041f6fdea9b2b7374c3710e8b"),
    ("uki", "455047135812c60dfdbb81ec061c05a1"),
    ("hybrid disk", "0f9ccbe6ffe347d07e54a8b3d721b357"),
    ("iso that boots", "e385628adc659522aecfa2f9ae6ec5d8"),
    ("mbr", "840da138cb752bd73a206aa31ee59b69"),
];

/// The digest of what is no hole, with its places; the first half of it.
fn digest(artifact: &SharedSource) -> String {
    let mut all = artifact.size().to_le_bytes().to_vec();
    let mut at = 0;
    while let Some(run) = artifact.data_from(at) {
        let mut bytes = vec![0; usize::try_from(run.end - run.start).unwrap()];
        artifact.read_at(&mut bytes, run.start).unwrap();
        // Sources may call zeros data: what they are in is a matter of speed and not of bytes.
        for (block, bytes) in (run.start..).step_by(512).zip(bytes.chunks(512)) {
            if bytes.iter().any(|byte| *byte != 0) {
                all.extend(block.to_le_bytes());
                all.extend(bytes);
            }
        }
        at = run.end;
    }
    base16ct::lower::encode_string(&Digest::of(&all).as_bytes()[..16])
}

fn bytes(len: usize) -> SharedSource {
    Arc::new(Bytes((0..len).map(|at| at.to_le_bytes()[0] ^ at.to_le_bytes()[1] | 1).collect()))
}

/// Every kind of inode, long names and targets, attributes, names that some formats cut, a file over 4 GiB.
fn sample(largest: u64) -> Arc<Tree> {
    let mut tree = TreeBuilder::new();
    let source = bytes(300_000);
    let mut file = |path: &str, offset, size, metadata| {
        tree.insert(path.as_bytes(), Node::File(metadata, Content { source: source.clone(), offset, size })).unwrap()
    };
    for number in 0..90 {
        let metadata = Metadata { mtime: i64::from(number) * 50_000_000, uid: number % 5 * 70_000, ..Metadata::file() };
        file(&format!("many/a name of file {number}"), u64::from(number) * 7, u64::from(number) * 61, metadata);
        file(&format!("deep/{}/x", number % 40), 9, 3000, Metadata { mode: 0o4711, ..Metadata::file() });
    }
    file("Readme", 5, 131_073, Metadata::file());
    file("README", 6, 262_144, Metadata::file());
    file(&"n".repeat(255), 0, 1, Metadata { mtime: -5, ..Metadata::file() });
    let id = file("attributes", 77, 4096, Metadata::file());
    let xattr = |name: &str, len| Xattr { name: name.as_bytes().into(), value: vec![7; len].into() };
    let set = [xattr("security.capability", 20), xattr("user.a", 3000), xattr("trusted.b", 0)];
    tree.set_xattrs(id, set.into_iter().collect());
    let large = Content::whole(Arc::new(Zeros(largest)));
    tree.insert(b"large", Node::File(Metadata::file(), large)).unwrap();
    tree.insert(b"empty", Node::Generated(Metadata::file(), b"")).unwrap();
    tree.hard_link(b"many/link", b"Readme").unwrap();
    for (name, target) in
        [("short", "/a/../b".to_owned()), ("long", "some/part/".repeat(60)), ("longest", "x".repeat(4000))]
    {
        tree.insert(name.as_bytes(), Node::Symlink(Metadata::symlink(), target.as_bytes())).unwrap();
    }
    for kind in [FileKind::CharDevice, FileKind::BlockDevice, FileKind::Fifo, FileKind::Socket] {
        let metadata = Metadata { kind, rdev: (8, 300), gid: 9, ..Metadata::file() };
        tree.insert(format!("dev/{kind:?}").as_bytes(), Node::Plain(metadata)).unwrap();
    }
    tree.insert(b"none", Node::Plain(Metadata::directory())).unwrap();
    Arc::new(tree.finish())
}

fn volume(kind: Option<FatKind>, size: Option<u64>) -> Fat {
    let file = |path: &str, len| FatFile { path: path.to_owned(), content: bytes(len) };
    let files =
        [file("kernel", 9000), file("EFI/BOOT/BOOTX64.EFI", 70_000), file("EFI/a long name.conf", 5), file("EMPTY", 0)];
    fat(&files, &FatOptions { kind, size, hidden_sectors: 2048, ..FatOptions::default() }).unwrap()
}

/// A disk with content, holes and more than one table of each container.
fn disk() -> SharedSource {
    let mut disk = MapBuilder::default();
    for at in [0, 3, 40, 700, 4200, 9000] {
        disk.pad_to(at * MIB);
        disk.extent(&bytes(100_000), 0, 100_000);
    }
    disk.share()
}

/// An EFI program of one section, as small as can be.
pub(super) fn stub(size_of_headers: u32) -> Vec<u8> {
    let headers = Headers {
        signature: SIGNATURE,
        coff: CoffHeader {
            machine: 0x8664.into(),
            number_of_sections: 1.into(),
            size_of_optional_header: 240.into(),
            ..CoffHeader::new_zeroed()
        },
        optional: OptionalHeader {
            magic: PE32_PLUS.into(),
            section_alignment: 4096.into(),
            file_alignment: 512.into(),
            size_of_headers: size_of_headers.into(),
            ..OptionalHeader::new_zeroed()
        },
    };
    let section = SectionHeader {
        name: *b".text\0\0\0",
        virtual_size: 9.into(),
        virtual_address: 0x1000.into(),
        size_of_raw_data: 512.into(),
        pointer_to_raw_data: size_of_headers.into(),
        ..SectionHeader::new_zeroed()
    };
    let mut file = MapBuilder::default();
    file.bytes(b"MZ");
    file.pad_to(SIGNATURE_OFFSET as u64);
    file.bytes(&0x40_u32.to_le_bytes());
    file.bytes(headers.as_bytes());
    file.pad_to(0x58 + 240);
    file.bytes(section.as_bytes());
    file.pad_to(size_of_headers.into());
    file.bytes(b"code");
    file.align(512);
    let mut bytes = vec![0; size_of_headers as usize + 512];
    file.finish().read_at(&mut bytes, 0).unwrap();
    bytes
}

fn media() -> Vec<(&'static str, SharedSource)> {
    let (seed, volume) = (Digest::of(b"seed"), volume(None, None));
    let hybrid =
        HybridDisk { boot_code: &[9; 500], stage2: &[8; 3000], esp: volume.image().clone(), size: 0, data: 0, seed };
    let options = IsoOptions {
        bios_image: Some(3000),
        partition: Some(volume.image().clone()),
        tail: 33 * 512,
        ..IsoOptions::default()
    };
    let mut tree = TreeBuilder::new();
    let offset = volume.offset("kernel").unwrap();
    let kernel = Content { source: volume.image().clone(), offset, size: 9000 };
    tree.insert(b"kernel", Node::File(Metadata::file(), kernel)).unwrap();
    let parts = IsoParts { system_area: Some(bytes(4096)), bios_image: Some(bytes(3000)), ..IsoParts::default() };
    let iso = Iso::new(Arc::new(tree.finish()), options).unwrap();
    let entry = |active, sectors| MbrEntry { active, kind: 0x83, sectors };
    let table = mbr(b"code", 0x1122_3344, &[entry(true, 2048..4096), entry(false, 1 << 20..1 << 33)]);
    vec![
        ("hybrid disk", hybrid.layout().unwrap()),
        ("iso that boots", iso.finish(parts)),
        ("mbr", Arc::new(Bytes(table.into()))),
    ]
}

#[test]
fn the_bytes_of_every_format_stay_what_they_are() {
    let (seed, sample, disk) = (Digest::of(b"seed"), sample((1 << 32) + 5), disk());
    let section = |name, len| Section { memory: 70_000, code: true, ..Section::data(name, bytes(len)) };
    let mut found = vec![
        ("cpio", cpio(self::sample(70_000)).unwrap()),
        ("tar", tar(Vec::new(), sample.clone()).unwrap()),
        ("squashfs", squashfs(sample.clone()).unwrap()),
        ("erofs", erofs(sample.clone()).unwrap()),
        ("iso", iso9660(sample).unwrap()),
        ("fat12", volume(None, None).image().clone()),
        ("fat16", volume(Some(FatKind::Fat16), None).image().clone()),
        ("fat32", volume(Some(FatKind::Fat32), Some(300 * MIB)).image().clone()),
        ("qcow2", qcow2(&disk).unwrap()),
        ("fixed vhd", fixed_vhd(&disk, &seed).unwrap()),
        ("dynamic vhd", dynamic_vhd(&disk, &seed).unwrap()),
        ("vhdx", vhdx(&disk, &seed).unwrap()),
        ("vmdk", vmdk(&disk, "a.vmdk", &seed).unwrap()),
        ("gzip", gzip_stored(bytes(200_000))),
        ("uki", uki(&stub(512), &[section(".linux", 5000), section(".initrd", 3)]).unwrap()),
    ];
    found.extend(media());
    let found: Vec<(&str, String)> = found.iter().map(|(name, artifact)| (*name, digest(artifact))).collect();
    assert_eq!(found, DIGESTS.map(|(name, digest)| (name, digest.to_owned())));
}
