//! Values of a machine as they are typed or kept: platform, disks, addresses.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::report::Failure;
use crate::base::{Digest, MIB, Platform, parse_size};
use crate::vm::Disk;

/// The platform of `--arch`.
pub fn platform(arch: Option<&str>) -> Result<Platform, Failure> {
    let parse = |text: &str| text.parse().map_err(|error| Failure::usage(format!("--arch: {error}")));
    arch.map_or_else(|| Ok(Platform::host()), parse)
}

/// A disk from `file=PATH,size=SIZE,format=FORMAT`, or a path alone; made when it is missing and has a size.
pub fn disk(text: &str) -> Result<Disk, Failure> {
    let (mut path, mut size, mut format) = (None, None, None);
    for part in text.split(',') {
        match part.split_once('=') {
            Some(("file", value)) => path = Some(PathBuf::from(value)),
            Some(("size", value)) => size = Some(value),
            Some(("format", value)) => format = Some(value.to_owned()),
            None if path.is_none() => path = Some(PathBuf::from(part)),
            _ => return Err(Failure::usage(format!("--disk: `{part}` is not known")).hint(DISK)),
        }
    }
    let path = path.ok_or_else(|| Failure::usage("--disk: there is no file").hint(DISK))?;
    if let Some(size) = size.filter(|_| !path.exists()) {
        let bytes = parse_size(size, MIB).ok_or_else(|| Failure::usage(format!("--disk: `{size}` is no size")))?;
        make_disk(&path, bytes, format.as_deref().unwrap_or("raw"))?;
        format.get_or_insert_with(|| "raw".to_owned());
    }
    Ok(Disk { path, format })
}

const DISK: &str = "write `file=PATH`, `size=SIZE` and `format=FORMAT`, with commas between them";

fn make_disk(path: &Path, bytes: u64, format: &str) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| Failure::io(format!("cannot make disk `{}`", path.display()), &error);
    if format == "raw" {
        return File::create_new(path).and_then(|file| file.set_len(bytes)).map_err(cannot);
    }
    let size = bytes.to_string();
    let status = Command::new("qemu-img").args(["create", "-q", "-f", format]).arg(path).arg(size).status();
    match status.map_err(cannot)? {
        status if status.success() => Ok(()),
        status => Err(cannot(std::io::Error::other(format!("`qemu-img` ended with {status}")))),
    }
}

/// The address of the machine's network card, kept in its state directory as LinuxKit keeps it.
pub fn kept_mac(state: &Path) -> Result<String, Failure> {
    let path = state.join("mac-addr");
    let cannot = |error: std::io::Error| Failure::io(format!("cannot keep `{}`", path.display()), &error);
    match fs::read_to_string(&path) {
        Ok(text) => return Ok(text.trim().to_owned()),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(cannot(error)),
        Err(_) => {}
    }
    let mut bytes = [0; 6];
    File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes)).map_err(cannot)?;
    // Locally administered, and no group address (IEEE 802, "Universal addresses").
    bytes[0] = bytes[0] & 0xfc | 2;
    let mac = bytes.map(|byte| format!("{byte:02x}")).join(":");
    fs::create_dir_all(state).and_then(|()| fs::write(&path, &mac)).map_err(cannot)?;
    Ok(mac)
}

/// A UUID of the free form (RFC 9562, section 5.8) that derives from a digest.
pub fn uuid(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("{}-{}-8{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_made_once_and_its_address_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        let made = disk(&format!("file={},size=1M", path.display())).unwrap();
        assert_eq!(made, Disk { path: path.clone(), format: Some("raw".to_owned()) });
        assert_eq!(fs::metadata(&path).unwrap().len(), MIB);
        assert_eq!(disk(path.to_str().unwrap()).unwrap().format, None);
        assert!(disk("size=1M").is_err() && disk("a=b").is_err());
        let state = dir.path().join("state");
        let mac = kept_mac(&state).unwrap();
        assert_eq!((mac.len(), kept_mac(&state).unwrap()), (17, mac));
    }

    #[test]
    fn a_uuid_has_its_version() {
        assert_eq!(uuid(&Digest::of(b"")), "e3b0c442-98fc-8c14-8afb-f4c8996fb924");
    }
}
