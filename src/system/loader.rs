//! systemd-boot or ISOLINUX of the host or of an image, in the place of lkit's own loaders.

use std::path::Path;

use super::images::Images;
use super::{Error, LoaderOrigin, Loaders, Problem};
use crate::base::Platform;
use crate::extent::SharedSource;
use crate::output::Isolinux;
use crate::rootfs::HostFile;
use crate::tree::TreeBuilder;

/// Below these, Debian's packages and LinuxKit's images have the files.
const SYSTEMD_BOOT: &[&str] = &["", "usr/lib/systemd/boot/efi"];
const ISOLINUX: &[&str] =
    &["", "usr/lib/ISOLINUX", "usr/lib/syslinux/modules/bios", "../syslinux/modules/bios", "usr/share/syslinux"];
/// The program, the boot code of USB sticks, and the module of ISOLINUX.
const ISOLINUX_FILES: [&str; 3] = ["isolinux.bin", "isohdpfx.bin", "ldlinux.c32"];
const SYSTEMD_BOOT_PACKAGE: &str = "package `systemd-boot-efi`";
const ISOLINUX_PACKAGES: &str = "packages `isolinux` and `syslinux-common`";
/// Largest file of a loader that is held in memory, in bytes.
const LARGEST: u64 = 1 << 20;

impl Loaders {
    /// Looks whether the loaders that come from directories are there.
    ///
    /// # Errors
    /// When a file of one is missing, or there is none for the platform.
    pub fn check(&self, platform: &Platform) -> Result<(), Error> {
        if let Some(origin) = &self.systemd_boot {
            let name = systemd_boot_name(platform)?;
            if let LoaderOrigin::Directory(path) = origin {
                Files::in_directory(origin, path, SYSTEMD_BOOT_PACKAGE).find(SYSTEMD_BOOT, name)?;
            }
        }
        if let Some(origin @ LoaderOrigin::Directory(path)) = &self.isolinux {
            let files = Files::in_directory(origin, path, ISOLINUX_PACKAGES);
            ISOLINUX_FILES.iter().try_for_each(|name| files.find(ISOLINUX, name).map(drop))?;
        }
        Ok(())
    }

    /// systemd-boot for a platform; of an image nothing is read but indexes.
    ///
    /// # Errors
    /// When it is not there.
    pub(super) fn systemd_boot(
        &self,
        images: &Images<'_>,
        platform: &Platform,
    ) -> Result<Option<SharedSource>, Problem> {
        let Some(origin) = &self.systemd_boot else { return Ok(None) };
        let name = systemd_boot_name(platform)?;
        Files::open(origin, images, SYSTEMD_BOOT_PACKAGE)?.find(SYSTEMD_BOOT, name).map(Some)
    }

    /// ISOLINUX; its program and its boot code are read.
    ///
    /// # Errors
    /// When a file of it is not there or cannot be read.
    pub(super) fn isolinux(&self, images: &Images<'_>) -> Result<Option<Isolinux>, Problem> {
        let Some(origin) = &self.isolinux else { return Ok(None) };
        let files = Files::open(origin, images, ISOLINUX_PACKAGES)?;
        let [program, boot_code, module] = ISOLINUX_FILES.map(|name| files.find(ISOLINUX, name));
        Ok(Some(Isolinux { program: content(&program?)?, boot_code: content(&boot_code?)?, module: module? }))
    }
}

/// What systemd calls its loader for a platform.
fn systemd_boot_name(platform: &Platform) -> Result<&'static str, Problem> {
    match platform.architecture.as_str() {
        "amd64" => Ok("systemd-bootx64.efi"),
        "arm64" => Ok("systemd-bootaa64.efi"),
        other => Err(Problem::NoSystemdBoot { architecture: other.to_owned() }),
    }
}

fn content(source: &SharedSource) -> Result<Vec<u8>, Problem> {
    let size = usize::try_from(source.size()).ok().filter(|_| source.size() <= LARGEST);
    let mut bytes = vec![0; size.ok_or(Problem::LargeLoader { size: source.size() })?];
    source.read_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// The files of a directory or an image.
struct Files<'a> {
    origin: &'a LoaderOrigin,
    content: Content<'a>,
    /// What has the files on the host.
    packages: &'static str,
}

enum Content<'a> {
    Directory(&'a Path),
    Tree(Box<TreeBuilder>),
}

impl<'a> Files<'a> {
    fn open(origin: &'a LoaderOrigin, images: &Images<'_>, packages: &'static str) -> Result<Self, Problem> {
        match origin {
            LoaderOrigin::Directory(path) => Ok(Self::in_directory(origin, path, packages)),
            LoaderOrigin::Image(reference) => {
                let (_, tree) = images.tree(reference)?;
                Ok(Self { origin, content: Content::Tree(Box::new(tree)), packages })
            }
        }
    }

    const fn in_directory(origin: &'a LoaderOrigin, path: &'a Path, packages: &'static str) -> Self {
        Self { origin, content: Content::Directory(path), packages }
    }

    /// The first file of this name below one of the directories.
    fn find(&self, directories: &[&str], file: &'static str) -> Result<SharedSource, Problem> {
        let found = match &self.content {
            Content::Directory(path) => {
                let mut paths = directories.iter().map(|directory| path.join(directory).join(file));
                let path = paths.find(|path| path.is_file());
                path.map(|path| HostFile::open(&path).map_err(|source| Problem::OpenLoader { path, source }))
            }
            Content::Tree(tree) => directories.iter().find_map(|directory| {
                let inode = tree.lookup(format!("{directory}/{file}").as_bytes())?;
                tree.content(inode).map(|content| content.source().map_err(Problem::from))
            }),
        };
        let missing = || Problem::LoaderFile { origin: self.origin.clone(), file, packages: self.packages };
        found.unwrap_or_else(|| Err(missing()))
    }
}
