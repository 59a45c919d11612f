//! LinuxKit's format names, and the files each of them writes.

use super::{Error, Product};

/// An output format under LinuxKit's name.
#[derive(Debug)]
pub struct Format {
    /// The name that `-f` and `outputs` take.
    pub name: &'static str,
    /// The files it writes.
    pub files: &'static [FormatFile],
}

/// A file of a format.
#[derive(Debug)]
pub struct FormatFile {
    /// What follows the name of the build.
    pub suffix: &'static str,
    /// What it holds.
    pub product: Product,
    /// Left out when the spec has nothing to put there, as LinuxKit leaves out an empty part.
    pub optional: bool,
}

const fn file(suffix: &'static str, product: Product) -> FormatFile {
    FormatFile { suffix, product, optional: false }
}

const fn part(suffix: &'static str, product: Product) -> FormatFile {
    FormatFile { suffix, product, optional: true }
}

const KERNEL: FormatFile = part("-kernel", Product::Kernel);
const CMDLINE: FormatFile = part("-cmdline", Product::Cmdline);

const FORMATS: &[Format] = &[
    Format { name: "kernel+initrd", files: &[KERNEL, part("-initrd.img", Product::Initrd), CMDLINE] },
    Format { name: "tar", files: &[file(".tar", Product::Tar)] },
    Format { name: "docker", files: &[file(".docker", Product::Docker)] },
    Format { name: "tar-kernel-initrd", files: &[file("-initrd.tar", Product::KernelInitrdTar)] },
];

/// Formats that LinuxKit has and lkit does not make.
const NOT_MADE: &[&str] = &["rpi3"];

/// Files that the mount shows beyond the formats' own, where two formats share a name.
const MOUNT_FILES: &[FormatFile] = &[];

impl Format {
    /// All formats.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        FORMATS.iter()
    }

    /// The format of this name.
    ///
    /// # Errors
    /// When there is none, or lkit does not make it.
    pub fn named(name: &str) -> Result<&'static Self, Error> {
        let found = FORMATS.iter().find(|format| format.name == name);
        found.ok_or_else(|| {
            let name = name.to_owned();
            if NOT_MADE.contains(&name.as_str()) {
                Error::FormatNotMade { name }
            } else {
                Error::UnknownFormat { name }
            }
        })
    }

    /// Files of all formats, each suffix once, as the mount shows them.
    pub fn mounted_files() -> Vec<&'static FormatFile> {
        let mut files: Vec<&FormatFile> = Vec::new();
        for file in MOUNT_FILES.iter().chain(FORMATS.iter().flat_map(|format| format.files)) {
            if files.iter().all(|f| f.suffix != file.suffix) {
                files.push(file);
            }
        }
        files
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_no_format_is_told_from_one_not_made() {
        assert_eq!(Format::named("iso").unwrap_err().to_string(), "`iso` is no output format");
        assert_eq!(Format::named("rpi3").unwrap_err().to_string(), "output format `rpi3` is not made by lkit");
    }

    #[test]
    fn the_mount_shows_each_name_once() {
        let mut suffixes: Vec<&str> = Format::mounted_files().iter().map(|file| file.suffix).collect();
        let all = suffixes.len();
        suffixes.sort_unstable();
        suffixes.dedup();
        assert_eq!(suffixes.len(), all);
    }
}
