//! Disks of the host, and the formats they have.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::Error;
use crate::output::DiskFormat;

/// A disk of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Its file.
    pub path: PathBuf,
    /// Its format.
    pub format: DiskFormat,
}

impl DiskFormat {
    const ALL: [Self; 6] = [Self::Raw, Self::Qcow2, Self::Vmdk, Self::Vhd, Self::Vhdx, Self::Vdi];

    /// QEMU's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vmdk => "vmdk",
            Self::Vhd => "vpc",
            Self::Vhdx => "vhdx",
            Self::Vdi => "vdi",
        }
    }

    /// The format that the end of a file's name says; raw where it says none. The content is never asked, since a guest
    /// may have written it.
    pub fn of_name(path: &Path) -> Self {
        let extension = path.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase);
        extension.and_then(|extension| extension.parse().ok()).unwrap_or(Self::Raw)
    }
}

impl FromStr for DiskFormat {
    type Err = Error;

    /// Takes QEMU's names, and `vhd`.
    fn from_str(name: &str) -> Result<Self, Error> {
        let name = if name == "vhd" { Self::Vhd.name() } else { name };
        let found = Self::ALL.into_iter().find(|format| format.name() == name);
        found.ok_or_else(|| Error::NotADiskFormat(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_told_by_its_name_or_by_the_name_of_the_file() {
        for (name, format) in [("raw", DiskFormat::Raw), ("vpc", DiskFormat::Vhd), ("vhd", DiskFormat::Vhd)] {
            assert_eq!(name.parse::<DiskFormat>().unwrap(), format);
        }
        for name in ["nbd", "raw,readonly=off", "", "QCOW2", "host_device"] {
            assert!(name.parse::<DiskFormat>().is_err(), "{name}");
        }
        let rows = [("d", DiskFormat::Raw), ("x.img", DiskFormat::Raw), ("/dev/sdb", DiskFormat::Raw)];
        let rows = rows.into_iter().chain([("a.QCOW2", DiskFormat::Qcow2), ("b.vhd", DiskFormat::Vhd)]);
        for (name, format) in rows {
            assert_eq!(DiskFormat::of_name(Path::new(name)), format, "{name}");
        }
    }
}
