//! systemd-boot or ISOLINUX of the host or of an image, in the place of lkit's own loaders.

use std::path::Path;

use super::images::Images;
use super::{LoaderOrigin, Loaders, Problem};
use crate::base::Platform;
use crate::extent::SharedSource;
use crate::output::Isolinux;
use crate::rootfs::HostFile;
use crate::tree::TreeBuilder;

/// Below these, Debian's packages and LinuxKit's images have the files.
const SYSTEMD_BOOT: &[&str] = &["", "usr/lib/systemd/boot/efi"];
const ISOLINUX: &[&str] =
    &["", "usr/lib/ISOLINUX", "usr/lib/syslinux/modules/bios", "../syslinux/modules/bios", "usr/share/syslinux"];
/// Largest file of a loader that is held in memory, in bytes.
const LARGEST: u64 = 1 << 20;

impl Loaders {
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
        let name = match platform.architecture.as_str() {
            "amd64" => "systemd-bootx64.efi",
            "arm64" => "systemd-bootaa64.efi",
            other => return Err(Problem::NoSystemdBoot { architecture: other.to_owned() }),
        };
        Files::open(origin, images, "package `systemd-boot-efi`")?.find(SYSTEMD_BOOT, name).map(Some)
    }

    /// ISOLINUX; its program and its boot code are read.
    ///
    /// # Errors
    /// When a file of it is not there or cannot be read.
    pub(super) fn isolinux(&self, images: &Images<'_>) -> Result<Option<Isolinux>, Problem> {
        let Some(origin) = &self.isolinux else { return Ok(None) };
        let files = Files::open(origin, images, "packages `isolinux` and `syslinux-common`")?;
        Ok(Some(Isolinux {
            program: content(&files.find(ISOLINUX, "isolinux.bin")?)?,
            boot_code: content(&files.find(ISOLINUX, "isohdpfx.bin")?)?,
            module: files.find(ISOLINUX, "ldlinux.c32")?,
        }))
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
        let content = match origin {
            LoaderOrigin::Directory(path) => Content::Directory(path),
            LoaderOrigin::Image(reference) => {
                let image = images.resolve_one(reference);
                let image = image.map_err(|error| Problem::resolve(reference.to_string(), None, error))?;
                let trees = images.trees(&[image]).map_err(|(_, problem)| problem)?;
                Content::Tree(Box::new(trees.into_iter().next().expect("a tree for each image")))
            }
        };
        Ok(Self { origin, content, packages })
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
