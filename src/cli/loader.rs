//! `--loader`: systemd-boot or ISOLINUX of the host or of an image, in the place of lkit's own loaders.

use std::path::{Path, PathBuf};

use super::images::Images;
use super::report::Failure;
use crate::base::{ErrorKind, Platform};
use crate::extent::SharedSource;
use crate::oci::Reference;
use crate::output::Isolinux;
use crate::rootfs::HostFile;
use crate::tree::TreeBuilder;

/// Below these, Debian's packages and LinuxKit's images have the files.
const SYSTEMD_BOOT: &[&str] = &["", "usr/lib/systemd/boot/efi"];
const ISOLINUX: &[&str] =
    &["", "usr/lib/ISOLINUX", "usr/lib/syslinux/modules/bios", "../syslinux/modules/bios", "usr/share/syslinux"];
/// Largest file of a loader that is held in memory, in bytes.
const LARGEST: u64 = 1 << 20;

/// The loaders that take the place of lkit's own.
#[derive(Clone, Debug, Default)]
pub struct Loaders {
    /// Where systemd-boot comes from.
    pub systemd_boot: Option<From>,
    /// Where ISOLINUX comes from.
    pub isolinux: Option<From>,
}

/// Where a loader comes from.
#[derive(Clone, Debug)]
pub enum From {
    /// A directory that has its files.
    Path(PathBuf),
    /// An image that has them.
    Image(Box<Reference>),
}

impl Loaders {
    /// What each `--loader` means.
    ///
    /// # Errors
    /// When one is no loader.
    pub fn parse(texts: &[String]) -> Result<Self, Failure> {
        let mut loaders = Self::default();
        for text in texts {
            match text.split_once('=') {
                None if text == "lkit" => loaders = Self::default(),
                Some(("systemd-boot", from)) if !from.is_empty() => loaders.systemd_boot = Some(place(from)?),
                Some(("isolinux", from)) if !from.is_empty() => loaders.isolinux = Some(place(from)?),
                _ => {
                    let hint = "use `lkit`, `systemd-boot=FROM` or `isolinux=FROM`; FROM is a directory or an image";
                    return Err(Failure::usage(format!("--loader: `{text}` is no boot loader")).hint(hint));
                }
            }
        }
        Ok(loaders)
    }

    /// systemd-boot for a platform; of an image nothing is read but indexes.
    ///
    /// # Errors
    /// When it is not there.
    pub fn systemd_boot(&self, images: &Images<'_>, platform: &Platform) -> Result<Option<SharedSource>, Failure> {
        let Some(from) = &self.systemd_boot else { return Ok(None) };
        let name = match platform.architecture.as_str() {
            "amd64" => "systemd-bootx64.efi",
            "arm64" => "systemd-bootaa64.efi",
            other => return Err(Failure::new(ErrorKind::Unsupported, format!("systemd-boot does not start {other}"))),
        };
        Files::open(from, images, "package `systemd-boot-efi`")?.find(SYSTEMD_BOOT, name).map(Some)
    }

    /// ISOLINUX; its program and its boot code are read.
    ///
    /// # Errors
    /// When a file of it is not there or cannot be read.
    pub fn isolinux(&self, images: &Images<'_>) -> Result<Option<Isolinux>, Failure> {
        let Some(from) = &self.isolinux else { return Ok(None) };
        let files = Files::open(from, images, "packages `isolinux` and `syslinux-common`")?;
        Ok(Some(Isolinux {
            program: content(&files.find(ISOLINUX, "isolinux.bin")?)?,
            boot_code: content(&files.find(ISOLINUX, "isohdpfx.bin")?)?,
            module: files.find(ISOLINUX, "ldlinux.c32")?,
        }))
    }
}

fn place(from: &str) -> Result<From, Failure> {
    if from.starts_with(['/', '.']) {
        return Ok(From::Path(from.into()));
    }
    from.parse().map(|reference| From::Image(Box::new(reference))).map_err(|error| {
        Failure::caused(ErrorKind::Usage, format!("--loader: `{from}` is no image reference"), &error)
            .hint("let the name of a directory begin with `/` or `./`")
    })
}

fn content(source: &SharedSource) -> Result<Vec<u8>, Failure> {
    let size = usize::try_from(source.size()).ok().filter(|_| source.size() <= LARGEST);
    let too_large = || Failure::new(ErrorKind::Unsupported, format!("a file of ISOLINUX has {} bytes", source.size()));
    let mut bytes = vec![0; size.ok_or_else(too_large)?];
    source.read_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// The files of a place.
struct Files<'a> {
    name: String,
    content: Place<'a>,
    /// What has the files on the host.
    packages: &'static str,
}

enum Place<'a> {
    Directory(&'a Path),
    Tree(Box<TreeBuilder>),
}

impl<'a> Files<'a> {
    fn open(from: &'a From, images: &Images<'_>, packages: &'static str) -> Result<Self, Failure> {
        let reference = match from {
            From::Path(path) => {
                return Ok(Self { name: path.display().to_string(), content: Place::Directory(path), packages });
            }
            From::Image(reference) => reference,
        };
        let mut tree = TreeBuilder::new();
        for image in images.resolve(std::slice::from_ref(&**reference)) {
            let image = image.map_err(|error| error.under(format!("cannot resolve image `{reference}`")))?;
            tree = images.trees(&[&image]).map_err(|(_, problem)| problem)?.pop().unwrap_or(tree);
        }
        Ok(Self { name: reference.to_string(), content: Place::Tree(Box::new(tree)), packages })
    }

    /// The first file of this name below one of the directories.
    fn find(&self, directories: &[&str], name: &str) -> Result<SharedSource, Failure> {
        let found = match &self.content {
            Place::Directory(path) => {
                let mut paths = directories.iter().map(|directory| path.join(directory).join(name));
                paths.find(|path| path.is_file()).map(|path| {
                    HostFile::open(&path)
                        .map_err(|error| Failure::io(format!("cannot open `{}`", path.display()), &error))
                })
            }
            Place::Tree(tree) => directories.iter().find_map(|directory| {
                let inode = tree.lookup(format!("{directory}/{name}").as_bytes())?;
                tree.content(inode).map(|content| content.source().map_err(Failure::from))
            }),
        };
        let kind = match self.content {
            Place::Directory(_) => ErrorKind::Io,
            Place::Tree(_) => ErrorKind::ImageNotFound,
        };
        found.unwrap_or_else(|| {
            let missing = Failure::new(kind, format!("`{}` has no file `{name}`", self.name));
            Err(missing.hint(format!("Debian has it in the {}", self.packages)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(texts: &[&str]) -> Result<Loaders, Failure> {
        Loaders::parse(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_loader_is_ours_or_comes_from_a_directory_or_an_image() {
        let both = parse(&["systemd-boot=/usr/lib", "isolinux=linuxkit/mkimage-iso-bios:1"]).unwrap();
        assert!(matches!((both.systemd_boot, both.isolinux), (Some(From::Path(_)), Some(From::Image(_)))));
        assert!(matches!(parse(&["isolinux=./x"]).unwrap().isolinux, Some(From::Path(_))));
        assert!(parse(&["isolinux=./x", "lkit"]).unwrap().isolinux.is_none());
        for text in ["", "grub", "systemd-boot", "isolinux=", "systemd-boot=A B", "lkit=x"] {
            assert!(parse(&[text]).is_err(), "{text}");
        }
    }
}
