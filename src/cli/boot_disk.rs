//! `--disk artifact=FORMAT`: a disk of the spec, which its machine starts from.

use std::path::Path;

use super::bootable::Bootable;
use super::report::Failure;
use crate::output::{DiskFormat, Format, FormatFile, Start};
use crate::vm::{Boot, Disk};

/// What `--disk` takes of such a disk.
const HINT: &str =
    "write `artifact=FORMAT`, such as `artifact=raw-efi`, and `via=vhost-user` or `via=mount` if need be";

/// How a machine has the bytes of an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By vhost-user: they are read straight into the memory of the guest, and nothing is mounted.
    VhostUser,
    /// Out of a mount, as a file.
    Mount,
}

/// A disk of the spec to start from.
#[derive(Clone, Copy, Debug)]
pub struct BootDisk {
    file: &'static FormatFile,
    format: DiskFormat,
    /// How the machine has its bytes.
    pub way: Way,
}

impl BootDisk {
    /// The disk of `artifact=FORMAT`, and of `via=WAY` behind it; `None` where `parts` begin with something else.
    ///
    /// # Errors
    /// When the format has no disk that a machine starts from, or not in this way.
    pub fn parse(parts: &[String]) -> Result<Option<Self>, Failure> {
        let Some(name) = parts.first().and_then(|first| first.strip_prefix("artifact=")) else { return Ok(None) };
        let format = Format::named(name).map_err(|error| Failure::usage(format!("--disk: {error}")).hint(HINT))?;
        let started = format.files.iter().find_map(|file| match file.start {
            Some(Start::Disk(format)) => Some((file, format)),
            _ => None,
        });
        let (file, format) = started.ok_or_else(|| {
            Failure::usage(format!("--disk: `{name}` is no disk that a machine starts from"))
                .hint("disks are `raw-bios`, `raw-efi`, `aws`, `qcow2-bios`, `qcow2-efi`, `vmdk`, `vhd` and `vhdx`")
        })?;
        // The guest of vhost-user sees the bytes as they are, so only those of a disk make sense to it.
        let usual = if format == DiskFormat::Raw && cfg!(target_os = "linux") { Way::VhostUser } else { Way::Mount };
        let way = match parts[1..].iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] => usual,
            ["via=mount"] => Way::Mount,
            ["via=vhost-user"] if usual == Way::VhostUser => Way::VhostUser,
            ["via=vhost-user"] => {
                let message = format!("--disk: `{name}` is not given to machines by vhost-user");
                return Err(Failure::usage(message).hint("use `artifact=raw-efi` on Linux, or leave out `via`"));
            }
            [part, ..] => return Err(Failure::usage(format!("--disk: `{part}` is not known")).hint(HINT)),
        };
        Ok(Some(Self { file, format, way }))
    }

    /// The name of its artifact, in a system of this name.
    pub fn artifact(&self, name: &str) -> String {
        format!("{name}{}", self.file.suffix)
    }

    /// What a machine starts from, for one that has it in `place`: the socket, or the directory of the mount.
    pub fn bootable(&self, place: &Path, name: &str) -> Bootable {
        let boot = match self.way {
            Way::VhostUser => Boot::VhostUser(place.to_owned()),
            Way::Mount => Boot::Disk(Disk { path: place.join(self.artifact(name)), format: self.format }),
        };
        Bootable { boot, uefi: self.file.uefi, architecture: None, shown: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<(String, Way)>, String> {
        let parts: Vec<String> = text.split(',').map(str::to_owned).collect();
        let parsed = BootDisk::parse(&parts).map_err(|failure| failure.rendered());
        Ok(parsed?.map(|disk| (disk.artifact("a"), disk.way)))
    }

    #[test]
    fn disks_of_bytes_go_by_vhost_user_and_others_out_of_a_mount() {
        let rows = [
            ("artifact=raw-efi", "a-efi.img", Way::VhostUser),
            ("artifact=raw-bios,via=vhost-user", "a-bios.img", Way::VhostUser),
            ("artifact=aws,via=mount", "a.raw", Way::Mount),
            ("artifact=qcow2-efi", "a-efi.qcow2", Way::Mount),
        ];
        for (text, artifact, way) in rows {
            assert_eq!(parse(text), Ok(Some((artifact.to_owned(), way))), "{text}");
        }
        assert_eq!(parse("file=x"), Ok(None));
    }

    #[test]
    fn what_is_no_disk_of_a_spec_is_refused_with_the_reason() {
        let rows = [
            ("artifact=raw", "--disk: `raw` is no output format"),
            ("artifact=tar", "--disk: `tar` is no disk that a machine starts from"),
            ("artifact=vmdk,via=vhost-user", "--disk: `vmdk` is not given to machines by vhost-user"),
            ("artifact=raw-efi,via=nbd", "--disk: `via=nbd` is not known"),
            ("artifact=raw-efi,size=1G", "--disk: `size=1G` is not known"),
        ];
        for (text, message) in rows {
            let said = parse(text).unwrap_err();
            assert!(said.starts_with(&format!("error: {message}\n")), "{said}");
        }
    }
}
