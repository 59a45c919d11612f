//! The catalog: a system's artifacts by name, laid out when somebody asks for one.

use std::sync::{Arc, OnceLock};

use super::media::Media;
use super::root_disk::root_initrd;
use super::{
    Artifact, Board, Enclave, Error, Format, FormatFile, Measurements, Obstacle, PLAIN_NAMES, PackedRoot, Product,
    RootFs,
};
use super::{board, enclave, rpi3};
use crate::base::{Attempt, Digest, ErrorKind, GIB, Metadata, align_up};
use crate::extent::{Bytes, ReadError, SharedSource};
use crate::format::{self, Codec, Member, Ova};
use crate::tree::{Tree, TreeBuilder};

/// What a spec comes to: the parts every artifact is laid out from.
pub struct System {
    /// The kernel, when the spec has one.
    pub kernel: Option<SharedSource>,
    /// The kernel command line, when it is not empty.
    pub cmdline: Option<Vec<u8>>,
    /// Microcode archive, when the spec has one.
    pub microcode: Option<SharedSource>,
    /// The root.
    pub tree: Arc<Tree>,
    /// The kernel uncompressed, for firmware that cannot start a gzip file; made when it is needed.
    pub gunzip: Option<Gunzip>,
    /// systemd-boot, to start media by UEFI in the place of our own loader.
    pub systemd_boot: Option<SharedSource>,
    /// ISOLINUX, to start ISOs by BIOS in the place of our own loader.
    pub isolinux: Option<Isolinux>,
    /// The file system that the root has on a disk, where an initrd is wanted that starts it from there.
    pub root: Option<RootFs>,
    /// What an image for an enclave holds that the other artifacts do not.
    pub enclave: Enclave,
    /// What artifacts for boards hold that the other ones do not; `None` where the system is not for arm64.
    pub board: Option<Board>,
    /// Size of disks in bytes; 0 for as small as they can be.
    pub disk_size: u64,
    /// Least size of a partition for data on disks, in bytes; 0 for none.
    pub data_size: u64,
    /// What identifiers inside media derive from: the same for the same spec and images.
    pub seed: Digest,
}

/// The files of ISOLINUX.
pub struct Isolinux {
    /// `isolinux.bin`; its checksum is a part of it, so it is here.
    pub program: Vec<u8>,
    /// `isohdpfx.bin`, the boot code of USB sticks.
    pub boot_code: Vec<u8>,
    /// `ldlinux.c32`.
    pub module: SharedSource,
}

/// Opens the uncompressed content of a compressed kernel.
pub type Gunzip = Box<dyn Fn() -> Result<SharedSource, ReadError> + Send + Sync>;

type Made = Attempt<SharedSource, Obstacle>;

/// The artifacts of one system. A copy is the same catalog: what one lays out all have.
#[derive(Clone)]
pub struct Catalog(Arc<Inner>);

struct Inner {
    name: String,
    system: System,
    made: [Made; Product::COUNT],
    /// Of a catalog that is there before its whole root is.
    whole: Option<OnceLock<Whole>>,
}

/// The catalog with the whole root, or why there is none.
type Whole = Result<Catalog, ReadError>;

impl Catalog {
    /// Artifacts of `system`, named after `name`.
    pub fn new(name: impl Into<String>, system: System) -> Self {
        Self(Arc::new(Inner { name: name.into(), system, made: Default::default(), whole: None }))
    }

    /// A catalog of a system whose root is not whole yet. A thread that opens an artifact which needs the whole root blocks until
    /// the completion is given the whole catalog, or is dropped.
    pub fn early(name: impl Into<String>, system: System) -> (Self, Completion) {
        let whole = Some(OnceLock::new());
        let early = Self(Arc::new(Inner { name: name.into(), system, made: Default::default(), whole }));
        (early.clone(), Completion(early))
    }

    /// Whether it is early, and what needs the whole root has to be waited for.
    pub fn is_early(&self) -> bool {
        self.0.whole.as_ref().is_some_and(|whole| whole.get().is_none())
    }

    /// Waits until the root is whole.
    ///
    /// # Errors
    /// Why it never will be.
    pub fn wait_for_whole(&self) -> Result<&Self, ReadError> {
        match &self.0.whole {
            None => Ok(self),
            Some(whole) => whole.wait().as_ref().map_err(Clone::clone),
        }
    }

    /// The name of the build.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What the artifacts are laid out from.
    pub fn system(&self) -> &System {
        &self.0.system
    }

    /// The artifacts a system of these parts has, which a mount shows next to `rootfs/`: the three plain names, then every
    /// format's.
    pub fn mounted(&self) -> Vec<Artifact> {
        let plain = PLAIN_NAMES.map(str::to_owned).into_iter();
        let plain = plain.zip([Product::Kernel, Product::Initrd, Product::Cmdline]);
        let named = Format::mounted_files().into_iter().map(|file| (self.name_of(file), file.product));
        let there = plain.chain(named).filter(|(_, product)| self.0.has(*product));
        there.map(|(name, product)| self.artifact(name, product)).collect()
    }

    /// The artifacts `format` writes.
    ///
    /// # Errors
    /// When the spec lacks a part that the format cannot do without.
    pub fn written(&self, format: &Format) -> Result<Vec<Artifact>, Error> {
        let wanted = format.files.iter().filter(|file| !file.optional || self.0.has(file.product));
        let artifact = |file: &FormatFile| match self.0.has(file.product) {
            true => Ok(self.artifact(self.name_of(file), file.product)),
            false => Err(Error::Missing { artifact: self.name_of(file), part: self.0.lacks() }),
        };
        wanted.map(artifact).collect()
    }

    /// Where an artifact may be compressed from, in bytes: an initrd behind its microcode, which the kernel looks for
    /// before it can decompress anything; raw disks and ISOs whole. `None` for what must stay as it is.
    pub fn compressible_from(&self, artifact: &Artifact) -> Option<u64> {
        let microcode = self.system().microcode.as_ref().map_or(0, |microcode| microcode.size());
        match artifact.product()? {
            Product::Initrd => Some(align_up(microcode, 4)),
            Product::Disk | Product::CloudDisk | Product::BootIso => Some(0),
            _ => None,
        }
    }

    /// An artifact that is a root alone, compressed while it is written; `None` of any other.
    pub fn packed(&self, artifact: &Artifact, codec: Codec) -> Option<PackedRoot> {
        let root = artifact.product().and_then(RootFs::of)?;
        Some(PackedRoot::new(self.system().tree.clone(), root, codec))
    }

    /// Whether a BIOS can start the kernel.
    ///
    /// # Errors
    /// When there is none, or its head cannot be read.
    pub fn starts_by_bios(&self) -> Result<bool, Obstacle> {
        Ok(Media::new(self.system(), self.0.product(Product::Initrd)?)?.starts_by_bios())
    }

    /// What an enclave that is started from the image for one measures. Reads the kernel and all of the initrd.
    ///
    /// # Errors
    /// When there is no kernel, or something cannot be laid out or read.
    pub fn measurements(&self) -> Result<Measurements, Obstacle> {
        enclave::measure(&self.0.system, self.0.product(Product::Initrd)?)
    }

    /// A product, made at most once.
    pub(super) fn product(&self, product: Product) -> Result<SharedSource, Obstacle> {
        self.0.product(product)
    }

    fn name_of(&self, file: &FormatFile) -> String {
        format!("{}{}", self.0.name, file.suffix)
    }

    fn artifact(&self, name: String, product: Product) -> Artifact {
        let (inner, message) = (self.0.clone(), format!("cannot lay out `{name}`"));
        let open = move || inner.product(product).map_err(|obstacle| ReadError::wrap(message.as_str(), obstacle));
        Artifact::new(name, open).of(product)
    }
}

/// Gives an early catalog the whole one. If it is dropped before, the threads that wait get an error.
pub struct Completion(Catalog);

impl Completion {
    /// Unblocks the threads that wait in the early catalog; they get what they asked for from `whole`.
    pub fn complete(self, whole: Catalog) {
        self.set(Ok(whole));
    }

    fn set(&self, whole: Whole) {
        let awaited = self.0.0.whole.as_ref().expect("an early catalog awaits its whole");
        // The first one counts.
        awaited.set(whole).ok();
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        self.set(Err(ReadError::new(ErrorKind::Io, "the rest of the system cannot be loaded")));
    }
}

impl Inner {
    /// Whether the spec has what the product cannot do without.
    fn has(&self, product: Product) -> bool {
        match product {
            Product::Kernel => self.system.kernel.is_some(),
            Product::Cmdline => self.system.cmdline.is_some(),
            Product::Initrd | Product::Archive | Product::Tar | Product::Docker | Product::KernelInitrdTar => true,
            Product::RootIso | Product::Squashfs | Product::Erofs => true,
            Product::SquashfsInitrd => self.system.kernel.is_some() && self.system.root == Some(RootFs::Squashfs),
            Product::ErofsInitrd => self.system.kernel.is_some() && self.system.root == Some(RootFs::Erofs),
            Product::Fit | Product::BootScript | Product::Rpi3Tar | Product::Rpi3Disk => {
                self.system.kernel.is_some() && self.system.board.is_some()
            }
            _ => self.system.kernel.is_some(),
        }
    }

    /// What a product that is not there cannot do without.
    fn lacks(&self) -> &'static str {
        if self.system.kernel.is_none() { "a kernel" } else { "a kernel for arm64" }
    }

    /// A product, made at most once; what could not be read is tried again.
    fn product(&self, product: Product) -> Result<SharedSource, Obstacle> {
        if let Some(whole) = self.whole.as_ref().filter(|_| product.needs_whole_root()) {
            return whole.wait().as_ref().map_err(Clone::clone)?.product(product);
        }
        self.made[product as usize].get_or_make(|| self.make(product), Obstacle::is_lasting).cloned()
    }

    fn make(&self, product: Product) -> Result<SharedSource, Obstacle> {
        let System { tree, disk_size, seed, .. } = &self.system;
        let media = || Media::new(&self.system, self.product(Product::Initrd)?);
        let disk = || self.product(Product::Disk);
        Ok(match product {
            Product::Kernel => self.system.kernel.clone().ok_or(Obstacle::Missing("kernel"))?,
            Product::Cmdline => self.cmdline().ok_or(Obstacle::Missing("command line"))?,
            Product::Initrd => format::behind_microcode(self.system.microcode.clone(), self.product(Product::Archive)?),
            Product::Archive => format::cpio(tree.clone())?,
            Product::Tar => format::tar(self.boot_members(), tree.clone())?,
            Product::Docker => format::tar(self.docker_members(), tree.clone())?,
            Product::KernelInitrdTar => self.kernel_initrd_tar()?,
            Product::RootIso => format::iso9660(tree.clone())?,
            Product::Squashfs => format::squashfs(tree.clone())?,
            Product::Erofs => format::erofs(tree.clone())?,
            Product::SquashfsInitrd => root_initrd(&self.system, RootFs::Squashfs)?,
            Product::ErofsInitrd => root_initrd(&self.system, RootFs::Erofs)?,
            Product::BootIso => media()?.iso()?,
            Product::UnifiedImage => media()?.unified_image()?,
            Product::Disk => media()?.disk(*disk_size)?,
            Product::CloudDisk => media()?.disk(align_up(disk()?.size(), GIB))?,
            Product::Qcow2 => format::qcow2(&disk()?)?,
            Product::Gcp => format::gcp(&self.product(Product::CloudDisk)?),
            Product::FixedVhd => format::fixed_vhd(&disk()?, seed)?,
            Product::DynamicVhd => format::dynamic_vhd(&disk()?, seed)?,
            Product::Vmdk => format::vmdk(&disk()?, &self.name, seed)?,
            Product::Ova => {
                let (name, vmdk, disk_size) = (self.name.as_str(), self.product(Product::Vmdk)?, disk()?.size());
                Ova { name, vmdk, disk_size, uefi: !media()?.starts_by_bios() }.layout()?
            }
            Product::Vhdx => format::vhdx(&disk()?, seed)?,
            Product::Fit => board::fit(&self.name, &self.system, self.board()?, self.product(Product::Initrd)?)?,
            Product::BootScript => board::boot_script(&self.name, &self.system, self.board()?)?,
            Product::Rpi3Tar => rpi3::tar(&self.system, self.board()?, &self.product(Product::Initrd)?)?,
            Product::Rpi3Disk => rpi3::disk(&self.system, self.board()?, &self.product(Product::Initrd)?)?,
            Product::Eif => enclave::image(&self.name, &self.system, self.product(Product::Initrd)?)?,
        })
    }

    fn board(&self) -> Result<&Board, Obstacle> {
        self.system.board.as_ref().ok_or(Obstacle::Missing("kernel for arm64"))
    }

    fn cmdline(&self) -> Option<SharedSource> {
        let cmdline = self.system.cmdline.clone()?;
        Some(Arc::new(Bytes(cmdline.into_boxed_slice())))
    }

    fn parts(&self) -> [(&'static str, Option<SharedSource>); 3] {
        let System { kernel, microcode, .. } = &self.system;
        [("kernel", kernel.clone()), ("cmdline", self.cmdline()), ("ucode.cpio", microcode.clone())]
    }

    /// The members of `boot/`, which the root itself does not have.
    fn boot_members(&self) -> Vec<Member> {
        let parts = self.parts().map(|(name, content)| content.map(|content| file(format!("boot/{name}"), content)));
        let mut members: Vec<Member> = parts.into_iter().flatten().collect();
        if !members.is_empty() && self.system.tree.find(b"boot").is_none() {
            members.insert(0, Member { path: "boot".to_owned(), metadata: Metadata::directory(), content: None });
        }
        members
    }

    fn docker_members(&self) -> Vec<Member> {
        const DOCKERFILE: &[u8] = b"FROM scratch\nCOPY . ./\nENTRYPOINT [\"/bin/rc.init\"]\n";
        let mut members = self.boot_members();
        members.push(file("Dockerfile".to_owned(), Arc::new(Bytes(DOCKERFILE.into()))));
        members
    }

    /// Microcode is a file next to the initrd here, not in front of it.
    fn kernel_initrd_tar(&self) -> Result<SharedSource, Obstacle> {
        let archive = self.product(Product::Archive)?;
        let [kernel, cmdline, microcode] = self.parts();
        let members = [kernel, ("initrd.img", Some(archive)), cmdline, microcode];
        let members = members.into_iter().filter_map(|(name, content)| Some(file(name.to_owned(), content?)));
        Ok(format::tar(members.collect(), Arc::new(TreeBuilder::new().finish()))?)
    }
}

fn file(path: String, content: SharedSource) -> Member {
    Member { path, metadata: Metadata::file(), content: Some(content) }
}
