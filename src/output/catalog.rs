//! The catalog: a system's artifacts by name, laid out when somebody asks for one.

use std::sync::{Arc, OnceLock};

use super::media::{Media, MediaError};
use super::{Error, Format, FormatFile, Product};
use crate::base::{Digest, GIB, Metadata, align_up};
use crate::extent::{Bytes, ReadError, SharedSource};
use crate::format::{self, Member};
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
    /// Least size of disks in bytes.
    pub disk_size: u64,
    /// What identifiers inside media derive from: the same for the same spec and images.
    pub seed: Digest,
}

/// Opens the uncompressed content of a compressed kernel.
pub type Gunzip = Box<dyn Fn() -> Result<SharedSource, ReadError> + Send + Sync>;

/// A file lkit shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Its file name.
    pub name: String,
    /// What it holds.
    pub product: Product,
}

type Made = OnceLock<Result<SharedSource, Error>>;

/// The artifacts of one system.
pub struct Catalog {
    name: String,
    system: System,
    made: [Made; Product::COUNT],
}

impl Catalog {
    /// Artifacts of `system`, named after `name`.
    pub fn new(name: impl Into<String>, system: System) -> Self {
        Self { name: name.into(), system, made: Default::default() }
    }

    /// The name of the build.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the artifacts are laid out from.
    pub fn system(&self) -> &System {
        &self.system
    }

    /// The artifacts a mount shows beside `rootfs/`: the three plain names, then every format's.
    pub fn mounted(&self) -> Vec<Artifact> {
        let plain = [("kernel", Product::Kernel), ("initrd.img", Product::Initrd), ("cmdline", Product::Cmdline)];
        let plain = plain.map(|(name, product)| Artifact { name: name.to_owned(), product });
        let named = Format::mounted_files().into_iter().map(|file| self.artifact(file));
        plain.into_iter().chain(named).filter(|artifact| self.has(artifact.product)).collect()
    }

    /// The artifacts `format` writes.
    ///
    /// # Errors
    /// When the spec lacks a part that the format cannot do without.
    pub fn written(&self, format: &Format) -> Result<Vec<Artifact>, Error> {
        let wanted = format.files.iter().filter(|file| !file.optional || self.has(file.product));
        wanted.map(|file| self.artifact(file)).map(|artifact| self.check(artifact)).collect()
    }

    /// The artifact as bytes; laid out the first time it is asked for.
    ///
    /// # Errors
    /// When its format cannot hold the system.
    pub fn open(&self, artifact: &Artifact) -> Result<SharedSource, Error> {
        self.made[artifact.product as usize].get_or_init(|| self.make(artifact)).clone()
    }

    fn artifact(&self, file: &FormatFile) -> Artifact {
        Artifact { name: format!("{}{}", self.name, file.suffix), product: file.product }
    }

    /// Whether the spec has what the product cannot do without.
    fn has(&self, product: Product) -> bool {
        match product {
            Product::Kernel => self.system.kernel.is_some(),
            Product::Cmdline => self.system.cmdline.is_some(),
            Product::Initrd | Product::Tar | Product::Docker | Product::KernelInitrdTar => true,
            Product::RootIso | Product::Squashfs | Product::Erofs => true,
            _ => self.system.kernel.is_some(),
        }
    }

    fn check(&self, artifact: Artifact) -> Result<Artifact, Error> {
        if self.has(artifact.product) {
            return Ok(artifact);
        }
        Err(Error::Missing { artifact: artifact.name, part: "a kernel" })
    }

    fn make(&self, artifact: &Artifact) -> Result<SharedSource, Error> {
        let missing = |part| Error::Missing { artifact: artifact.name.clone(), part };
        let layout = |source| Error::Layout { artifact: artifact.name.clone(), source: Arc::new(source) };
        match artifact.product {
            Product::Kernel => self.system.kernel.clone().ok_or_else(|| missing("a kernel")),
            Product::Cmdline => self.cmdline().ok_or_else(|| missing("a command line")),
            Product::Initrd => format::initrd(self.system.microcode.clone(), self.system.tree.clone()).map_err(layout),
            Product::Tar => Ok(format::tar(self.boot_members(), self.system.tree.clone())),
            Product::Docker => Ok(format::tar(self.docker_members(), self.system.tree.clone())),
            Product::KernelInitrdTar => self.kernel_initrd_tar(),
            Product::RootIso => format::iso9660(self.system.tree.clone()).map_err(layout),
            Product::Squashfs => format::squashfs(self.system.tree.clone()).map_err(layout),
            Product::Erofs => format::erofs(self.system.tree.clone()).map_err(layout),
            _ => self
                .medium(artifact.product)
                .map_err(|source| Error::Medium { artifact: artifact.name.clone(), source }),
        }
    }

    /// What starts by itself: media, and containers of a disk.
    fn medium(&self, product: Product) -> Result<SharedSource, MediaError> {
        let initrd = self.shared(Product::Initrd)?;
        let media = || Media::new(&self.system, initrd.clone());
        let System { disk_size, seed, .. } = &self.system;
        Ok(match product {
            Product::BootIso => media()?.iso()?,
            Product::UnifiedImage => media()?.unified_image()?,
            Product::CloudDisk => media()?.disk(align_up(self.shared(Product::Disk)?.size(), GIB))?,
            Product::Qcow2 => format::qcow2(&self.shared(Product::Disk)?)?,
            Product::Gcp => format::gcp(&self.shared(Product::CloudDisk)?),
            Product::FixedVhd => format::fixed_vhd(&self.shared(Product::Disk)?, seed),
            Product::DynamicVhd => format::dynamic_vhd(&self.shared(Product::Disk)?, seed)?,
            Product::Vmdk => format::vmdk(&self.shared(Product::Disk)?, &self.name, seed)?,
            Product::Vhdx => format::vhdx(&self.shared(Product::Disk)?, seed)?,
            _ => media()?.disk(*disk_size)?,
        })
    }

    /// Another product that this one is made from.
    fn shared(&self, product: Product) -> Result<SharedSource, MediaError> {
        let artifact = Artifact { name: self.name.clone(), product };
        self.open(&artifact).map_err(|error| match error {
            Error::Medium { source, .. } => source,
            Error::Layout { source, .. } => MediaError::Format(source),
            Error::Read { source, .. } => MediaError::Read(source),
            _ => MediaError::NoKernel,
        })
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

    /// Microcode stands beside the initrd here, not in front of it.
    fn kernel_initrd_tar(&self) -> Result<SharedSource, Error> {
        let artifact =
            |source| Error::Layout { artifact: format!("{}-initrd.tar", self.name), source: Arc::new(source) };
        let archive = format::cpio(self.system.tree.clone()).map_err(artifact)?;
        let [kernel, cmdline, microcode] = self.parts();
        let members = [kernel, ("initrd.img", Some(archive)), cmdline, microcode];
        let members = members.into_iter().filter_map(|(name, content)| Some(file(name.to_owned(), content?)));
        Ok(format::tar(members.collect(), Arc::new(TreeBuilder::new().finish())))
    }
}

fn file(path: String, content: SharedSource) -> Member {
    Member { path, metadata: Metadata::file(), content: Some(content) }
}
