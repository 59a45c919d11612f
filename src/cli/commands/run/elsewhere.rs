//! Places that linuxkit runs machines in and lkit does not: which format each takes, and how.

use std::path::PathBuf;

use crate::cli::report::Failure;

/// A place, the format it takes, and what is done with the file.
type Provider = (&'static str, &'static str, &'static str);

const PLACES: [Provider; 11] = [
    ("aws", "aws", "import `NAME.raw` with `aws ec2 import-snapshot`, and register an image of the snapshot"),
    ("azure", "vhd", "upload `NAME.vhd` as a page blob, and make an image of it with `az image create`"),
    ("equinixmetal", "kernel+initrd", "serve `NAME-kernel` and `NAME-initrd.img` over HTTP, and start them by iPXE"),
    ("gcp", "gcp", "copy `NAME.img.tar.gz` to a bucket, and make an image of it with `gcloud compute images create`"),
    ("hyperv", "vhdx", "make a machine of generation 2 with `NAME.vhdx` as its disk, without Secure Boot"),
    ("openstack", "qcow2-bios", "upload `NAME.qcow2` with `openstack image create --disk-format qcow2 --file`"),
    ("packet", "kernel+initrd", "serve `NAME-kernel` and `NAME-initrd.img` over HTTP, and start them by iPXE"),
    ("scaleway", "qcow2-efi", "copy `NAME-efi.qcow2` to a bucket, and import it with `scw instance snapshot create`"),
    ("vbox", "iso-bios", "attach `NAME.iso` as the CD of a machine, which starts from it"),
    ("vcenter", "vmdk", "import `NAME.vmdk` into a datastore with `govc import.vmdk`, and make a machine with it"),
    ("vmware", "vmdk", "make a machine with `NAME.vmdk` as its disk"),
];

/// The names of these places.
pub fn names() -> impl Iterator<Item = &'static str> {
    PLACES.iter().map(|(name, ..)| *name)
}

/// Fails when the first word names a place that lkit runs no machines in, and no file.
///
/// # Errors
/// With the format that the place takes, and how it takes it.
pub fn check(what: &[PathBuf]) -> Result<(), Failure> {
    let named = what.first().filter(|first| !first.exists()).and_then(|first| first.to_str());
    match PLACES.into_iter().find(|(place, ..)| named == Some(place)) {
        None => Ok(()),
        Some((place, format, how)) => Err(Failure::usage(format!("lkit runs no machines with `{place}`"))
            .hint(format!("write what it takes with `lkit build -f {format} SPEC`, then {how}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    #[test]
    fn every_place_takes_a_format_that_lkit_writes_under_the_name_that_is_told() {
        for (place, format, how) in PLACES {
            let files = Format::named(format).unwrap().files;
            assert!(files.iter().any(|file| how.contains(&format!("`NAME{}`", file.suffix))), "{place}");
            let said = check(&[place.into(), "a".into()]).unwrap_err().rendered();
            assert!(said.starts_with(&format!("error: lkit runs no machines with `{place}`\n\nhint: ")), "{said}");
        }
        assert!(check(&["qemu".into()]).is_ok() && check(&[]).is_ok());
    }
}
