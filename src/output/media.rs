//! Bootable media: one EFI system partition with kernel, initrd and command line, in a disk or an ISO that starts by
//! BIOS and by UEFI.
//!
//! # Invariants
//! - Of all content only the first 4 KiB of the kernel are read, and the last bytes of a compressed one.
//! - Kernel and initrd are stored once: the BIOS loader, the ISO's directories and the firmware point at the same bytes.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::{Isolinux, Obstacle, System};
use crate::base::{Digest, Metadata, SECTOR};
use crate::boot::{
    self, BiosFile, BiosMedium, COMMAND_LINE_FILE, INITRD_FILE, ISOLINUX_CONFIG, ISOLINUX_MODULE, KERNEL_FILE, Kernel,
    KernelKind, bios_boot_sector, bios_stage2, efi_loader, isolinux_boot_code, isolinux_config, isolinux_image,
    uki_stub,
};
use crate::extent::{Bytes, MapBuilder, ReadError, SharedSource, Sink as _};
use crate::format::{
    EFI_SYSTEM, Fat, FatFile, FatKind, FatOptions, Gpt, HybridDisk, Iso, IsoOptions, IsoParts, Partition, Section,
    derived_guid, derived_id, fat, protective_mbr, uki,
};
use crate::tree::{Content, Node, TreeBuilder};

/// A logical block of a CD in bytes: what both BIOS loaders count in.
const BLOCK: u64 = 2048;

/// How long a look at the kernel's head is waited for.
const SOON: Duration = Duration::from_secs(3);

/// What every medium starts.
pub struct Media<'a> {
    kernel: SharedSource,
    kind: Kernel,
    initrd: SharedSource,
    cmdline: &'a [u8],
    systemd_boot: Option<&'a SharedSource>,
    isolinux: Option<&'a Isolinux>,
    data_size: u64,
    seed: Digest,
}

impl<'a> Media<'a> {
    /// Looks at the kernel's head; a compressed kernel that firmware cannot start is taken uncompressed.
    ///
    /// # Errors
    /// When there is no kernel or its head cannot be read.
    pub fn new(system: &'a System, initrd: SharedSource) -> Result<Self, Obstacle> {
        let (kernel, kind) = unpacked(system)?;
        let cmdline = system.cmdline.as_deref().unwrap_or_default();
        let systemd_boot = system.systemd_boot.as_ref();
        let isolinux = system.isolinux.as_ref().filter(|_| kind.bios);
        let (data_size, seed) = (system.data_size, system.seed);
        Ok(Self { kernel, kind, initrd, cmdline, systemd_boot, isolinux, data_size, seed })
    }

    /// Whether a BIOS can start it.
    pub fn starts_by_bios(&self) -> bool {
        self.kind.bios
    }

    /// A GPT disk of `size` bytes; as small as it can be for 0.
    ///
    /// # Errors
    /// When no loader starts the kernel, FAT cannot hold a part, or the size is too small.
    pub fn disk(&self, size: u64) -> Result<SharedSource, Obstacle> {
        let esp = self.system_partition(HybridDisk::ESP)?;
        let disk = |boot_code, stage2| {
            let (esp, data, seed) = (esp.image().clone(), self.data_size, self.seed);
            HybridDisk { boot_code, stage2, esp, size, data, seed }.layout()
        };
        if !self.kind.bios {
            return Ok(disk(&[], &[])?);
        }
        let stage2 = self.stage2(&esp, HybridDisk::ESP * SECTOR)?;
        let code = bios_boot_sector(BiosMedium::Disk, HybridDisk::STAGE2 * SECTOR, stage2.len())?;
        Ok(disk(&code, &stage2)?)
    }

    /// An ISO that starts from CD and from USB stick.
    ///
    /// # Errors
    /// As [`disk`](Self::disk).
    pub fn iso(&self) -> Result<SharedSource, Obstacle> {
        let esp = self.system_partition(0)?;
        let stage2_size = self.kind.bios.then(|| self.stage2(&esp, 0)).transpose()?.map(|stage2| stage2.len() as u64);
        let own_size = stage2_size.map(|size| BLOCK + size);
        let options = IsoOptions {
            bios_image: self.isolinux.map_or(own_size, |isolinux| Some(isolinux.program.len() as u64)),
            partition: Some(esp.image().clone()),
            tail: Gpt::BACK * SECTOR,
            ..IsoOptions::default()
        };
        let iso = Iso::new(self.names(&esp)?, options)?;
        let start = iso.partition_offset().expect("a partition was planned");
        // The same file system again, which now knows where it lies; its files lie where they lay.
        let esp = self.system_partition(start / SECTOR)?;
        let sectors = iso.size() / SECTOR;
        let table = self.partition_table(sectors, start / SECTOR..(start + esp.image().size()).div_ceil(SECTOR))?;
        let mut parts = IsoParts { partition: Some(esp.image().clone()), ..IsoParts::default() };
        parts.tail = Some(bytes(&table.backup()));
        let mut code = Vec::new();
        if let Some(offset) = iso.bios_image_offset() {
            let image;
            (code, image) = self.bios_parts(&esp, start, offset)?;
            parts.bios_image = Some(image);
        }
        let signature = derived_id(&self.seed, "disk signature");
        let mbr = protective_mbr(&code, signature, sectors);
        parts.system_area = Some(bytes(&[&mbr[..], &table.primary()].concat()));
        Ok(iso.finish(parts))
    }

    /// Boot code for sector 0 of an ISO, and the image at `offset` that El Torito starts; the system partition is at
    /// `start`.
    fn bios_parts(&self, esp: &Fat, start: u64, offset: u64) -> Result<(Vec<u8>, SharedSource), Obstacle> {
        if let Some(isolinux) = self.isolinux {
            let image = isolinux_image(&isolinux.program, offset).ok_or(boot::Error::NoIsolinux("isolinux.bin"))?;
            let code = isolinux_boot_code(&isolinux.boot_code, offset);
            return Ok((code.ok_or(boot::Error::NoIsolinux("isohdpfx.bin"))?, bytes(&image)));
        }
        let stage2 = self.stage2(esp, start)?;
        let code = bios_boot_sector(BiosMedium::Disk, offset + BLOCK, stage2.len())?.to_vec();
        let mut image = MapBuilder::default();
        image.bytes(&bios_boot_sector(BiosMedium::Cd, offset + BLOCK, stage2.len())?);
        image.pad_to(BLOCK);
        image.bytes(&stage2);
        Ok((code, image.share()))
    }

    /// An EFI program with everything in it.
    ///
    /// # Errors
    /// When the kernel is no EFI program or the image passes 2 GiB.
    pub fn unified_image(&self) -> Result<SharedSource, Obstacle> {
        let memory = if let KernelKind::Efi { memory, .. } = self.kind.kind { memory } else { 0 };
        let sections = [
            Section::data(".osrel", bytes(b"ID=linuxkit\nNAME=LinuxKit\n")),
            Section::data(".cmdline", bytes(self.cmdline)),
            Section::data(".initrd", self.initrd.clone()),
            Section { memory, code: true, ..Section::data(".linux", self.kernel.clone()) },
        ];
        Ok(uki(uki_stub(&self.kind)?, &sections)?)
    }

    /// The partition that firmware reads; FAT32, the only kind that every firmware takes on a fixed disk.
    fn system_partition(&self, first_sector: u64) -> Result<Fat, Obstacle> {
        let mut files = self.loader()?;
        files.extend([
            file(COMMAND_LINE_FILE, bytes(self.cmdline)),
            file(KERNEL_FILE, self.kernel.clone()),
            file(INITRD_FILE, self.initrd.clone()),
        ]);
        let options = FatOptions {
            kind: Some(FatKind::Fat32),
            // A field of 32 bits that nothing we start reads; beyond it firmware looks at the partition table.
            hidden_sectors: u32::try_from(first_sector).unwrap_or(u32::MAX),
            volume_id: derived_id(&self.seed, "volume"),
            ..FatOptions::default()
        };
        Ok(fat(&files, &options)?)
    }

    /// What firmware starts, and what that reads: nothing more, or systemd-boot's entry (UAPI "Boot Loader
    /// Specification", type 1).
    fn loader(&self) -> Result<Vec<FatFile>, Obstacle> {
        let own = efi_loader(&self.kind)?;
        let Some(systemd_boot) = self.systemd_boot else { return Ok(vec![file(own.path, bytes(own.program))]) };
        if !matches!(self.kind.kind, KernelKind::Efi { .. }) {
            return Err(boot::Error::NoStub.into());
        }
        let mut entry = format!("title LinuxKit\nlinux /{KERNEL_FILE}\ninitrd /{INITRD_FILE}\noptions ").into_bytes();
        entry.extend(self.cmdline.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }));
        entry.push(b'\n');
        Ok(vec![
            file(own.path, systemd_boot.clone()),
            file("loader/loader.conf", bytes(b"timeout 0\n")),
            file("loader/entries/linuxkit.conf", bytes(&entry)),
        ])
    }

    /// The BIOS loader, for files of a partition that starts at `start`.
    fn stage2(&self, esp: &Fat, start: u64) -> Result<Vec<u8>, Obstacle> {
        let place =
            |name, content: &SharedSource| Some(BiosFile { offset: start + esp.offset(name)?, size: content.size() });
        let kernel = place(KERNEL_FILE, &self.kernel).ok_or(boot::Error::NotForBios)?;
        Ok(bios_stage2(kernel, place(INITRD_FILE, &self.initrd), self.cmdline)?)
    }

    fn partition_table(&self, sectors: u64, esp: std::ops::Range<u64>) -> Result<Gpt, Obstacle> {
        let guid = |role| derived_guid(&self.seed, role);
        let partition = Partition { kind: EFI_SYSTEM, guid: guid("EFI System"), sectors: esp, name: "EFI System" };
        Ok(Gpt::new(sectors, guid("disk"), vec![partition])?)
    }

    /// The tree of the ISO: the partition's files under their own names.
    fn names(&self, esp: &Fat) -> Result<Arc<crate::tree::Tree>, Obstacle> {
        let mut tree = TreeBuilder::new();
        for (name, content) in [(KERNEL_FILE, &self.kernel), (INITRD_FILE, &self.initrd)] {
            if let Some(offset) = esp.offset(name) {
                let content = Content { source: esp.image().clone(), offset, size: content.size() };
                tree.insert(name.as_bytes(), Node::File(Metadata::file(), content))?;
            }
        }
        tree.insert(COMMAND_LINE_FILE.as_bytes(), Node::Generated(Metadata::file(), self.cmdline))?;
        if let Some(isolinux) = self.isolinux {
            let module = Node::File(Metadata::file(), Content::whole(isolinux.module.clone()));
            tree.insert(ISOLINUX_MODULE.as_bytes(), module)?;
            let config = isolinux_config(self.cmdline);
            tree.insert(ISOLINUX_CONFIG.as_bytes(), Node::Generated(Metadata::file(), &config))?;
        }
        Ok(Arc::new(tree.finish()))
    }
}

/// Why no loader starts the kernel from a medium, why none from a unified image, and why U-Boot does not, as far as its
/// head tells. A kernel that is missing, cannot be read soon, or is to be unpacked first rules nothing out.
pub fn without_loader(system: &System) -> [Option<Obstacle>; 3] {
    let kind = match system.kernel.as_ref().and_then(inspected_soon) {
        Some(kind) if kind.kind != KernelKind::Gzip || system.gunzip.is_none() => kind,
        _ => return [None, None, None],
    };
    let is_stub = matches!(kind.kind, KernelKind::Efi { .. });
    let no_stub = (system.systemd_boot.is_some() && !is_stub).then_some(boot::Error::NoStub);
    let no_image = (!kind.image).then_some(boot::Error::NotForUBoot);
    [efi_loader(&kind).err().or(no_stub), uki_stub(&kind).err(), no_image].map(|error| error.map(Obstacle::from))
}

/// What the head of a kernel says, unless it cannot be read, or not within [`SOON`]: reads of the kernel wait for a
/// registry that does not answer, a list of names does not.
fn inspected_soon(kernel: &SharedSource) -> Option<Kernel> {
    let (tell, told) = mpsc::channel();
    let kernel = kernel.clone();
    // It goes on by itself where it takes longer, and what it finds is of no use then.
    let look = move || drop(tell.send(inspect(&kernel)));
    thread::Builder::new().spawn(look).ok()?;
    let found = told.recv_timeout(SOON);
    if matches!(found, Err(RecvTimeoutError::Timeout)) {
        tracing::warn!("the kernel cannot be read yet, so names are listed of artifacts that it may rule out");
    }
    found.ok()?.ok()
}

/// Whether the kernel has to be decompressed before more can be said of it.
pub fn is_packed(system: &System) -> bool {
    let kind = system.kernel.as_ref().map(inspect);
    system.gunzip.is_some() && matches!(kind, Some(Ok(Kernel { kind: KernelKind::Gzip, .. })))
}

/// What the head of a system's kernel says.
///
/// # Errors
/// When there is no kernel or its head cannot be read.
pub fn head(system: &System) -> Result<Kernel, Obstacle> {
    unpacked(system).map(|(_, kind)| kind)
}

/// The kernel as firmware starts it, and what its head says.
///
/// # Errors
/// When there is none, it cannot be unpacked, or its head cannot be read.
pub fn unpacked(system: &System) -> Result<(SharedSource, Kernel), Obstacle> {
    let kernel = system.kernel.clone().ok_or(Obstacle::Missing("kernel"))?;
    let kind = inspect(&kernel)?;
    match (&kind.kind, &system.gunzip) {
        (KernelKind::Gzip, Some(gunzip)) => {
            let unpacked = gunzip()?;
            let kind = inspect(&unpacked)?;
            Ok((unpacked, kind))
        }
        _ => Ok((kernel, kind)),
    }
}

fn inspect(kernel: &SharedSource) -> Result<Kernel, ReadError> {
    let len = usize::try_from(kernel.size()).map_or(Kernel::HEAD, |size| size.min(Kernel::HEAD));
    let mut head = vec![0; len];
    kernel.read_at(&mut head, 0)?;
    Ok(Kernel::inspect(&head))
}

fn file(path: &str, content: SharedSource) -> FatFile {
    FatFile { path: path.to_owned(), content }
}

fn bytes(bytes: &[u8]) -> SharedSource {
    Arc::new(Bytes(bytes.into()))
}
