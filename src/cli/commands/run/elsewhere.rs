//! Places that linuxkit runs machines in and lkit does not.

use std::path::PathBuf;

use crate::cli::elsewhere::{AZURE, EQUINIXMETAL, OPENSTACK, PACKET, Place, SCALEWAY, refusal};
use crate::cli::report::Failure;

const PLACES: [Place; 11] = [
    ("aws", "aws", "push `NAME.raw` with `lkit push aws`, which makes an image of it, and start that"),
    AZURE,
    EQUINIXMETAL,
    ("gcp", "gcp", "push `NAME.img.tar.gz` with `lkit push gcp`, which makes an image of it, and start that"),
    ("hyperv", "vhdx", "make a machine of generation 2 with `NAME.vhdx` as its disk, without Secure Boot"),
    OPENSTACK,
    PACKET,
    SCALEWAY,
    ("vbox", "iso-bios", "attach `NAME.iso` as the CD of a machine, which starts from it"),
    ("vcenter", "vmdk", "import `NAME.vmdk` into a datastore with `govc import.vmdk`, and make a machine with it"),
    ("vmware", "vmdk", "make a machine with `NAME.vmdk` as its disk"),
];
const REFUSED: &str = "lkit runs no machines with";

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
    named.and_then(|name| refusal(&PLACES, name, REFUSED)).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_takes_a_format_that_lkit_writes_under_the_name_that_is_told() {
        crate::cli::elsewhere::check(&PLACES, REFUSED);
        assert!(check(&["aws".into(), "a".into()]).is_err());
        assert!(check(&["qemu".into()]).is_ok() && check(&[]).is_ok());
    }
}
