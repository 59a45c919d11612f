//! Places that linuxkit pushes to and lkit does not: which format each takes, and how.

use std::ffi::OsString;

use crate::base::nearest;
use crate::cli::report::Failure;

/// A place, the format it takes, and what is done with the file.
pub type Place = (&'static str, &'static str, &'static str);

/// Places of linuxkit's `push`, under the names that it has and had for them.
pub const PLACES: [Place; 7] = [
    ("azure", "vhd", "upload `NAME.vhd` as a page blob, and make an image of it with `az image create`"),
    ("equinixmetal", "kernel+initrd", "put `NAME-kernel` and `NAME-initrd.img` onto a web server for iPXE"),
    ("gcp", "gcp", "copy `NAME.img.tar.gz` to a bucket, and make an image of it with `gcloud compute images create`"),
    ("openstack", "qcow2-bios", "upload `NAME.qcow2` with `openstack image create --disk-format qcow2 --file`"),
    ("packet", "kernel+initrd", "put `NAME-kernel` and `NAME-initrd.img` onto a web server for iPXE"),
    (
        "scaleway",
        "qcow2-efi",
        "push `NAME-efi.qcow2` with `lkit push s3 --endpoint https://s3.fr-par.scw.cloud`, and import it with `scw instance snapshot create`",
    ),
    ("vcenter", "vmdk", "import `NAME.vmdk` into a datastore with `govc import.vmdk`"),
];

/// Places that lkit pushes to.
const OURS: [&str; 3] = ["aws", "registry", "s3"];

/// Why nothing is pushed where these words say, and what to do.
pub fn refusal(words: &[OsString]) -> Failure {
    let named = words.first().map(|word| word.to_string_lossy()).unwrap_or_default();
    match PLACES.into_iter().find(|(place, ..)| named == *place) {
        Some((place, format, how)) => Failure::usage(format!("lkit pushes nothing to `{place}`"))
            .hint(format!("write what it takes with `lkit build -f {format} SPEC`, then {how}")),
        None => {
            let near = nearest(&named, OURS.into_iter()).map(|near| format!("did you mean `{near}`?"));
            Failure::usage(format!("no place to push to is called `{named}`"))
                .hint(near.unwrap_or_else(|| "`lkit push --help` lists them".to_owned()))
        }
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
            let said = refusal(&[place.into(), "a".into()]).rendered();
            assert!(said.starts_with(&format!("error: lkit pushes nothing to `{place}`\n\nhint: ")), "{said}");
        }
        let said = refusal(&["awz".into()]).rendered();
        assert_eq!(said, "error: no place to push to is called `awz`\n\nhint: did you mean `aws`?\n");
    }
}
