//! Places that linuxkit pushes to and lkit does not.

use std::ffi::OsString;

use crate::base::nearest;
use crate::cli::elsewhere::{EQUINIXMETAL, PACKET, Place, SCALEWAY, refusal as refusal_of};
use crate::cli::report::Failure;

/// Places of linuxkit's `push`, under the names that it has and had for them.
const PLACES: [Place; 4] = [
    EQUINIXMETAL,
    PACKET,
    SCALEWAY,
    ("vcenter", "vmdk", "import `NAME.vmdk` into a datastore with `govc import.vmdk`"),
];
const REFUSED: &str = "lkit pushes nothing to";

/// Places that lkit pushes to.
const OURS: [&str; 6] = ["aws", "azure", "gcp", "openstack", "registry", "s3"];

/// Why nothing is pushed where these words say, and what to do.
pub fn refusal(words: &[OsString]) -> Failure {
    let named = words.first().map(|word| word.to_string_lossy()).unwrap_or_default();
    refusal_of(&PLACES, &named, REFUSED).unwrap_or_else(|| {
        let near = nearest(&named, OURS.into_iter()).map(|near| format!("did you mean `{near}`?"));
        Failure::usage(format!("no place to push to is called `{named}`"))
            .hint(near.unwrap_or_else(|| "`lkit push --help` lists them".to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_takes_a_format_that_lkit_writes_under_the_name_that_is_told() {
        crate::cli::elsewhere::check(&PLACES, REFUSED);
        let said = refusal(&["awz".into()]).rendered();
        assert_eq!(said, "error: no place to push to is called `awz`\n\nhint: did you mean `aws`?\n");
    }
}
