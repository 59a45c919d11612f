//! Boots of kernels that are unlike the examples': without EFI stub, or with an old one.
//!
//! The guest checks a file of random bytes in its initrd, so that a loader that drops or repeats a part is caught, and
//! its command line, which has a letter that is no ASCII. `boots` boots everything else, out of a mount.

use std::sync::Arc;

use lkit::base::{Digest, MIB, Metadata};
use lkit::boot::{
    BiosFile, BiosMedium, COMMAND_LINE_FILE, INITRD_FILE, KERNEL_FILE, Kernel, KernelKind, bios_boot_sector,
    bios_stage2, efi_loader, uki_stub,
};
use lkit::extent::{Bytes, MapBuilder, SharedSource, Sink};
use lkit::format::{FatFile, FatOptions, HybridDisk, Section, cpio, fat, qcow2, uki};
use lkit::tree::{Content, Node, TreeBuilder};

use crate::common::artifact::{Noise, Unreadable, read, scratch, write};
use crate::common::qemu::{Firmware, assert_line, boot};
use crate::common::{self, images};

/// What a machine starts.
struct System {
    kernel: SharedSource,
    initrd: SharedSource,
    command_line: String,
    /// The line that the guest prints when its initrd is whole.
    verdict: String,
}

impl System {
    /// Debian's kernel and a busybox that checks 24 MiB of noise; `None` where the example images are missing.
    fn example() -> Option<Self> {
        let layout = common::example_images()?;
        let kernel = images::file(&layout, "linuxkit/kernel", "amd64", "kernel");
        let busybox = images::file(&layout, "library/busybox", "amd64", "bin/busybox");
        let there = kernel.is_some() && busybox.is_some();
        common::skip_unless(there, "no example images for amd64; run tools/images --arch amd64");
        let noise: SharedSource = Arc::new(Noise(24 * MIB));
        let sum = Digest::of(&read(&*noise, 0, usize::try_from(24 * MIB).unwrap())).hex();
        Some(Self {
            kernel: bytes(&kernel?),
            initrd: checking_initrd(&busybox?, &noise),
            command_line: format!("console=ttyS0 panic=-1 quiet lkit.sum={sum} \u{fc}"),
            verdict: "lkit: the initrd is whole".to_owned(),
        })
    }

    fn inspect(&self) -> Kernel {
        Kernel::inspect(&read(&*self.kernel, 0, Kernel::HEAD))
    }

    /// The same kernel as it is without CONFIG_EFI_STUB: no PE header, no EFI handover.
    fn without_stub(mut self) -> Self {
        let mut head = read(&*self.kernel, 0, Kernel::HEAD);
        head[..0x1f1].fill(0);
        head[0x236] &= !0b1100;
        self.replace_head(&head);
        assert_eq!(self.inspect().kind, KernelKind::BzImage);
        self
    }

    /// The same kernel as it was before Linux 5.8, which asks for its initrd by the option `initrd=` alone.
    fn with_old_stub(mut self) -> Self {
        let mut head = read(&*self.kernel, 0, Kernel::HEAD);
        let pe = usize::from(u16::from_le_bytes([head[0x3c], head[0x3d]]));
        assert_eq!(head[pe + 24 + 44], 1, "the version of the EFI stub");
        head[pe + 24 + 44] = 0;
        self.replace_head(&head);
        self
    }

    fn replace_head(&mut self, head: &[u8]) {
        let mut kernel = MapBuilder::default();
        kernel.bytes(head);
        kernel.extent(&self.kernel, head.len() as u64, self.kernel.size() - head.len() as u64);
        self.kernel = kernel.share();
    }

    /// A hybrid disk with all loaders the kernel can have.
    fn disk(&self) -> SharedSource {
        let (kernel, loader) = (self.inspect(), efi_loader(&self.inspect()).unwrap());
        let file = |path: &str, content: SharedSource| FatFile { path: path.to_owned(), content };
        let files = [
            file(loader.path, bytes(loader.program)),
            file(COMMAND_LINE_FILE, bytes(self.command_line.as_bytes())),
            file(KERNEL_FILE, self.kernel.clone()),
            file(INITRD_FILE, self.initrd.clone()),
        ];
        let esp = u32::try_from(HybridDisk::ESP).unwrap();
        let volume = fat(&files, &FatOptions { hidden_sectors: esp, ..FatOptions::default() }).unwrap();
        let place = |name, content: &SharedSource| BiosFile {
            offset: HybridDisk::ESP * 512 + volume.offset(name).unwrap(),
            size: content.size(),
        };
        let mut disk = HybridDisk {
            boot_code: &[],
            stage2: &[],
            esp: volume.image().clone(),
            size: 0,
            data: 0,
            seed: Digest::of(b""),
        };
        if !kernel.bios {
            return disk.layout().unwrap();
        }
        let initrd = place(INITRD_FILE, &self.initrd);
        let stage2 = bios_stage2(place(KERNEL_FILE, &self.kernel), Some(initrd), self.command_line.as_bytes()).unwrap();
        let code = bios_boot_sector(BiosMedium::Disk, HybridDisk::STAGE2 * 512, stage2.len()).unwrap();
        disk.boot_code = &code;
        disk.stage2 = &stage2;
        disk.layout().unwrap()
    }

    fn unified_image(&self) -> SharedSource {
        let kernel = self.inspect();
        let memory = match kernel.kind {
            KernelKind::Efi { memory, .. } => memory,
            _ => 0,
        };
        let sections = [
            Section::data(".osrel", bytes(b"ID=linuxkit\nNAME=LinuxKit\n")),
            Section::data(".cmdline", bytes(self.command_line.as_bytes())),
            Section::data(".initrd", self.initrd.clone()),
            Section { memory, code: true, ..Section::data(".linux", self.kernel.clone()) },
        ];
        uki(uki_stub(&kernel).unwrap(), &sections).unwrap()
    }

    /// A disk whose only file is the unified image.
    fn unified_disk(&self) -> SharedSource {
        let path = efi_loader(&self.inspect()).unwrap().path.to_owned();
        let esp = u32::try_from(HybridDisk::ESP).unwrap();
        let options = FatOptions { hidden_sectors: esp, ..FatOptions::default() };
        let esp = fat(&[FatFile { path, content: self.unified_image() }], &options).unwrap().image().clone();
        HybridDisk { boot_code: &[], stage2: &[], esp, size: 0, data: 0, seed: Digest::of(b"") }.layout().unwrap()
    }
}

fn bytes(bytes: &[u8]) -> SharedSource {
    Arc::new(Bytes(bytes.into()))
}

fn checking_initrd(busybox: &[u8], noise: &SharedSource) -> SharedSource {
    let init = b"#!/busybox sh
/busybox mkdir /proc
/busybox mount -t proc proc /proc
for word in $(/busybox cat /proc/cmdline); do
    case $word in
    lkit.sum=*) echo \"${word#*=}  /noise\" | /busybox sha256sum -c - && echo 'lkit: the initrd is whole' ;;
    esac
done
echo \"lkit: command line: $(/busybox cat /proc/cmdline) (end)\"
/busybox poweroff -f
";
    let program = Metadata { mode: 0o755, ..Metadata::file() };
    let mut tree = TreeBuilder::new();
    tree.insert(b"init", Node::Generated(program, init)).unwrap();
    tree.insert(b"busybox", Node::Generated(program, busybox)).unwrap();
    tree.insert(b"noise", Node::File(Metadata::file(), Content::whole(noise.clone()))).unwrap();
    cpio(Arc::new(tree.finish())).unwrap()
}

/// Writes `disk` for `test` and boots it by UEFI.
fn boots(test: &str, system: &System, disk: &SharedSource) {
    let dir = scratch(&format!("media-{test}"));
    let path = dir.join("disk");
    write(disk, &path);
    let drive = format!("file={},format=raw,if=virtio,readonly=on", path.display());
    let console = boot(Firmware::Uefi, &dir, ["-m", "512", "-drive", &drive]);
    assert_line(&console, &system.verdict);
    assert_line(&console, &format!("lkit: command line: {} (end)", system.command_line));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn boot_a_kernel_without_efi_stub_by_uefi() {
    if let Some(system) = System::example().filter(|_| Firmware::Uefi.available()) {
        let system = system.without_stub();
        boots("direct", &system, &system.disk());
    }
}

#[test]
fn boot_a_kernel_that_asks_for_its_initrd_by_name() {
    if let Some(system) = System::example().filter(|_| Firmware::Uefi.available()) {
        let mut system = system.with_old_stub();
        let disk = system.disk();
        system.command_line.push_str(" initrd=\\initrd.img");
        boots("old-stub", &system, &disk);
    }
}

#[test]
fn boot_a_unified_image_of_a_kernel_without_efi_stub() {
    if let Some(system) = System::example().filter(|_| Firmware::Uefi.available()) {
        let system = system.without_stub();
        boots("uki-direct", &system, &system.unified_disk());
    }
}

#[test]
fn lazy_laying_out_media_reads_no_content_but_the_head_of_the_kernel() {
    let mut head = vec![0; Kernel::HEAD];
    for (at, field) in [(0, b"MZ"), (0x3c, b"@\0"), (0x40, b"PE"), (0x44, b"\x64\x86"), (0x58, b"\x0b\x02")] {
        head[at..at + 2].copy_from_slice(field);
    }
    head[0x202..0x208].copy_from_slice(b"HdrS\x0f\x02");
    let mut kernel = MapBuilder::default();
    kernel.bytes(&head);
    kernel.whole(&(Arc::new(Unreadable(8 * MIB)) as SharedSource));
    let system = System {
        kernel: kernel.share(),
        initrd: Arc::new(Unreadable(3000 * MIB)),
        command_line: "quiet".to_owned(),
        verdict: String::new(),
    };
    assert!(system.inspect().bios && matches!(system.inspect().kind, KernelKind::Efi { .. }));
    assert!(qcow2(&system.disk()).unwrap().size() > 3000 * MIB);
    let limit = uki(uki_stub(&system.inspect()).unwrap(), &[Section::data(".initrd", system.initrd.clone())]);
    assert!(limit.is_err(), "an image over 2 GiB");
    let small = System { initrd: Arc::new(Unreadable(1000 * MIB)), ..system };
    assert!(small.unified_disk().size() > 1000 * MIB);
}
