//! Places that linuxkit knows and lkit does not go to: which format each takes, and how.

use super::report::Failure;

/// A place, the format it takes, and what is done with the file.
pub type Place = (&'static str, &'static str, &'static str);

/// A managed image.
pub const AZURE: Place = (
    "azure",
    "vhd",
    "push `NAME.vhd` with `lkit push azure`, and start a machine of the image with `az vm create --image NAME`",
);
/// Metal that starts by iPXE.
pub const EQUINIXMETAL: Place = ("equinixmetal", "kernel+initrd", BY_IPXE);
/// An image of Glance.
pub const OPENSTACK: Place = (
    "openstack",
    "qcow2-bios",
    "push `NAME.qcow2` with `lkit push openstack`, and start it with `openstack server create`",
);
/// What Equinix Metal was called before.
pub const PACKET: Place = ("packet", "kernel+initrd", BY_IPXE);
/// An object in a bucket, and a snapshot of it.
pub const SCALEWAY: Place = (
    "scaleway",
    "qcow2-efi",
    "push `NAME-efi.qcow2` with `lkit push s3 --endpoint https://s3.fr-par.scw.cloud`, and import it with `scw instance snapshot create`",
);

const BY_IPXE: &str = "serve `NAME-kernel` and `NAME-initrd.img` over HTTP, and start them by iPXE";

/// The refusal of one of `places`, which says how to go there without lkit; none for another name. `refused` is what lkit does
/// not do, up to the name of the place.
pub fn refusal(places: &[Place], name: &str, refused: &str) -> Option<Failure> {
    let (place, format, how) = places.iter().find(|(place, ..)| *place == name)?;
    let hint = format!("write what it takes with `lkit build -f {format} SPEC`, then {how}");
    Some(Failure::usage(format!("{refused} `{place}`")).hint(hint))
}

/// Looks whether lkit writes the format that each place takes, and whether the hint names one of its files.
#[cfg(test)]
pub fn check(places: &[Place], refused: &str) {
    for (place, format, how) in places {
        let files = crate::output::Format::named(format).unwrap().files;
        assert!(files.iter().any(|file| how.contains(&format!("`NAME{}`", file.suffix))), "{place}");
        let said = refusal(places, place, refused).unwrap().rendered();
        assert!(said.starts_with(&format!("error: {refused} `{place}`\n\nhint: ")), "{said}");
    }
}
