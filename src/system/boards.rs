//! What boards need besides the system: device trees, and the firmware of a Raspberry Pi.

use std::path::Path;

use super::images::Images;
use super::{LoaderOrigin, Problem};
use crate::extent::SharedSource;
use crate::rootfs::{DeviceTree, HostFile};
use crate::tree::TreeBuilder;

/// Of the device trees that a kernel has, and of files of this machine, those that are wanted, in that order; all that the
/// kernel has where nothing is said.
///
/// # Errors
/// When a file cannot be opened, or the kernel has none of a name.
pub(super) fn device_trees(found: Vec<DeviceTree>, wanted: &[String]) -> Result<Vec<DeviceTree>, Problem> {
    if wanted.is_empty() {
        return Ok(found);
    }
    let mut chosen: Vec<DeviceTree> = Vec::new();
    for wanted in wanted {
        if wanted.starts_with(['/', '.']) {
            let path = Path::new(wanted);
            let opened = HostFile::open(path);
            let tree = opened.map_err(|source| Problem::OpenLoader { path: path.to_owned(), source })?;
            chosen.push((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), tree));
            continue;
        }
        let before = chosen.len();
        chosen.extend(found.iter().filter(|(name, _)| is_meant(wanted, name)).cloned());
        if chosen.len() == before {
            let example = found.first().map(|(name, _)| name.clone());
            return Err(Problem::NoDeviceTree { name: wanted.clone(), count: found.len(), example });
        }
    }
    Ok(chosen)
}

/// A file of the firmware by its name.
type NamedFile = (String, SharedSource);

/// What a Raspberry Pi 3 starts before U-Boot, and U-Boot.
const FIRMWARE: [&str; 6] = ["bootcode.bin", "start*.elf", "fixup*.dat", "u-boot.bin", "config.txt", "LICENCE*"];
/// Of these there has to be one.
const NEEDED: [&str; 3] = ["bootcode.bin", "start.elf", "u-boot.bin"];
/// Where an image has them, as LinuxKit's `mkimage-rpi3` and Debian's packages do.
const PLACES: [&str; 4] = ["boot", "", "usr/lib/raspi-firmware", "usr/lib/u-boot/rpi_3"];

/// The files of the firmware that directories and images have; none where there are no origins.
///
/// # Errors
/// When a directory cannot be read, an image cannot be had, or a file is missing that a board cannot do without.
pub(super) fn firmware(origins: &[LoaderOrigin], images: &Images<'_>) -> Result<Vec<NamedFile>, Problem> {
    let mut files: Vec<NamedFile> = Vec::new();
    for origin in origins {
        let found = match origin {
            LoaderOrigin::Directory(path) => in_directory(path)?,
            LoaderOrigin::Image(reference) => in_image(&images.tree(reference)?.1)?,
        };
        for (name, file) in found {
            if files.iter().all(|(known, _)| *known != name) {
                files.push((name, file));
            }
        }
    }
    let missing = NEEDED.into_iter().find(|needed| files.iter().all(|(name, _)| name != needed));
    match missing {
        Some(file) if !origins.is_empty() => Err(Problem::NoFirmware { file }),
        _ => Ok(files),
    }
}

fn is_firmware(name: &str) -> bool {
    FIRMWARE.iter().any(|pattern| matches(pattern, name))
}

fn in_directory(path: &Path) -> Result<Vec<NamedFile>, Problem> {
    let cannot = |source| Problem::OpenLoader { path: path.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_firmware(&name) {
            let path = entry.path();
            let file = HostFile::open(&path).map_err(|source| Problem::OpenLoader { path, source })?;
            files.push((name, file));
        }
    }
    Ok(files)
}

fn in_image(tree: &TreeBuilder) -> Result<Vec<NamedFile>, Problem> {
    let mut files = Vec::new();
    for directory in PLACES.into_iter().filter_map(|place| tree.lookup_directory(place.as_bytes())) {
        for (name, inode) in tree.children(directory) {
            let name = String::from_utf8_lossy(name);
            if let Some(content) = tree.content(inode).filter(|_| is_firmware(&name)) {
                files.push((name.into_owned(), content.source()?));
            }
        }
    }
    Ok(files)
}

/// Whether a name, whole or without its directories, is what a pattern says, in which `*` stands for any text.
fn is_meant(pattern: &str, name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    matches(pattern, name) || matches(pattern, file)
}

fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::Fault as _;
    use crate::extent::Zeros;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, is_meant) in [
            ("a.dtb", "a.dtb", true),
            ("a.dtb", "aa.dtb", false),
            ("*", "", true),
            ("*.dtb", "x/a.dtb", true),
            ("rk33*-*.dtb", "rk3399-rock.dtb", true),
            ("rk33*-*.dtb", "rk3399.dtb", false),
            ("a*a", "a", false),
            ("a**b*c", "axbxxc", true),
            ("a*b*c", "acb", false),
        ] {
            assert_eq!(matches(pattern, text), is_meant, "{pattern} {text}");
        }
    }

    #[test]
    fn those_that_are_named_are_taken_in_their_order_and_what_is_not_there_is_told() {
        let tree = |name: &str| (name.to_owned(), Arc::new(Zeros(1)) as crate::extent::SharedSource);
        let found = || vec![tree("v/a.dtb"), tree("v/b.dtb"), tree("w/b.dtb")];
        let names = |wanted: &[&str]| {
            let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
            device_trees(found(), &wanted).map(|trees| trees.into_iter().map(|(name, _)| name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).unwrap(), ["v/a.dtb", "v/b.dtb", "w/b.dtb"]);
        assert_eq!(names(&["w/*", "a.dtb"]).unwrap(), ["w/b.dtb", "v/a.dtb"]);
        assert_eq!(names(&["b.dtb"]).unwrap(), ["v/b.dtb", "w/b.dtb"]);
        let error = names(&["c*"]).unwrap_err();
        assert_eq!(error.to_string(), "the kernel has no device tree `c*`");
        assert_eq!(error.hint().unwrap(), "it has 3, such as `v/a.dtb`");
        assert!(names(&["./gone.dtb"]).unwrap_err().to_string().contains("gone.dtb"));
    }
}
