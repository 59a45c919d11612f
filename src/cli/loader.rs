//! `--loader`: systemd-boot of the host or of an image, in the place of lkit's own EFI loader.

use std::path::{Path, PathBuf};

use super::images::Images;
use super::report::Failure;
use crate::base::{ErrorKind, Platform};
use crate::extent::SharedSource;
use crate::oci::Reference;
use crate::rootfs::HostFile;

/// Where Debian's package `systemd-boot-efi` and LinuxKit's image `linuxkit/systemd-boot` have it.
const DIRECTORY: &str = "usr/lib/systemd/boot/efi";

/// Where systemd-boot comes from.
#[derive(Clone, Debug)]
pub enum SystemdBoot {
    /// The program, or a directory that has it.
    Path(PathBuf),
    /// An image that has it.
    Image(Box<Reference>),
}

/// What `--loader` means; nothing for lkit's own loaders.
///
/// # Errors
/// When it is no loader.
pub fn parse(text: &str) -> Result<Option<SystemdBoot>, Failure> {
    if text == "lkit" {
        return Ok(None);
    }
    let unknown = || {
        let hint = "use `lkit`, `systemd-boot=DIRECTORY` such as `/usr/lib/systemd/boot/efi`, or `systemd-boot=IMAGE`";
        Failure::usage(format!("--loader: `{text}` is no boot loader")).hint(hint)
    };
    let from = text.strip_prefix("systemd-boot=").filter(|from| !from.is_empty()).ok_or_else(unknown)?;
    if from.starts_with(['/', '.']) {
        return Ok(Some(SystemdBoot::Path(from.into())));
    }
    from.parse().map(|reference| Some(SystemdBoot::Image(Box::new(reference)))).map_err(|error| {
        Failure::caused(ErrorKind::Usage, format!("--loader: `{from}` is no image reference"), &error)
            .hint("let the name of a directory begin with `/` or `./`")
    })
}

impl SystemdBoot {
    /// The program for a platform; of an image nothing is read but indexes.
    ///
    /// # Errors
    /// When it is not there.
    pub fn open(&self, images: &Images<'_>, platform: &Platform) -> Result<SharedSource, Failure> {
        let name = match platform.architecture.as_str() {
            "amd64" => "systemd-bootx64.efi",
            "arm64" => "systemd-bootaa64.efi",
            other => return Err(Failure::new(ErrorKind::Unsupported, format!("systemd-boot does not start {other}"))),
        };
        match self {
            Self::Path(path) => in_directory(path, name),
            Self::Image(reference) => in_image(images, reference, name),
        }
    }
}

fn in_directory(path: &Path, name: &str) -> Result<SharedSource, Failure> {
    let places = [path.to_owned(), path.join(name), path.join(DIRECTORY).join(name)];
    let found = places.into_iter().find(|place| place.is_file());
    let missing = || {
        let message = format!("`{}` has no `{name}`", path.display());
        Failure::new(ErrorKind::Io, message).hint("it comes with the package `systemd-boot-efi`")
    };
    let found = found.ok_or_else(missing)?;
    HostFile::open(&found).map_err(|error| Failure::io(format!("cannot open `{}`", found.display()), &error))
}

fn in_image(images: &Images<'_>, reference: &Reference, name: &str) -> Result<SharedSource, Failure> {
    let mut tree = None;
    for image in images.resolve(std::slice::from_ref(reference)) {
        let image = image.map_err(|error| error.under(format!("cannot resolve image `{reference}`")))?;
        tree = images.trees(&[&image]).map_err(|(_, problem)| problem)?.pop();
    }
    let places = [format!("{DIRECTORY}/{name}"), name.to_owned()];
    let content = tree.and_then(|tree| {
        places.iter().find_map(|place| tree.lookup(place.as_bytes()).and_then(|inode| tree.content(inode)))
    });
    let missing = || {
        Failure::new(ErrorKind::ImageNotFound, format!("image `{reference}` has no file `{DIRECTORY}/{name}`"))
            .hint("name an image that has systemd-boot, such as `linuxkit/systemd-boot`")
    };
    content.ok_or_else(missing)?.source().map_err(Failure::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loader_is_ours_or_comes_from_a_directory_or_an_image() {
        assert!(parse("lkit").unwrap().is_none());
        assert!(matches!(parse("systemd-boot=/usr/lib").unwrap(), Some(SystemdBoot::Path(_))));
        assert!(matches!(parse("systemd-boot=./x").unwrap(), Some(SystemdBoot::Path(_))));
        assert!(matches!(parse("systemd-boot=linuxkit/systemd-boot:1").unwrap(), Some(SystemdBoot::Image(_))));
        for text in ["", "grub", "systemd-boot", "systemd-boot=", "systemd-boot=A B"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
