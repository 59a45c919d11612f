//! `lkit push gcp`.

use std::process::ExitCode;
use std::sync::Arc;

use super::aws::object;
use super::{Parcel, limit, print, surroundings};
use crate::cli::args::PushGcp;
use crate::cli::progress::Progress;
use crate::cli::report::Failure;
use crate::push::{Gce, GceImage, Gcp, GcpOptions, GcsBucket, Readers};

/// Puts the archive of a disk into a bucket, and makes an image of it.
pub fn image(args: PushGcp, progress: &Arc<Progress>) -> Result<ExitCode, Failure> {
    let PushGcp {
        bucket,
        project,
        keys,
        endpoint,
        public,
        family,
        license: licenses,
        nested_virt: nested,
        uefi_compatible: uefi,
        replace,
        pushed,
    } = args;
    let missing =
        || Failure::usage("no bucket is named").hint("name it with `--bucket`, or set `CLOUDSDK_IMAGE_BUCKET`");
    let bucket = bucket.filter(|name| !name.is_empty()).ok_or_else(missing)?;
    let parcel = Parcel::new(&pushed.what, "gcp", pushed.pushing.system, progress)?;
    parcel.check_end(&[".img.tar.gz"], "Google Cloud", "gcp")?;
    let (_interrupts, surroundings) = surroundings(&parcel, progress)?;
    let is_arm = parcel.settings.origins.platform.architecture == "arm64";
    let of_environment = || std::env::var("CLOUDSDK_IMAGE_NAME").ok().filter(|name| !name.is_empty());
    let name = parcel.name(pushed.img_name.or_else(of_environment));
    let key = format!("{name}{}", parcel.end);
    let family = family.filter(|family| !family.is_empty());
    let gcp = Gcp::new(GcpOptions { keys, project, endpoint }, &surroundings)?;
    let architecture = is_arm.then_some("ARM64");
    let gce = Gce::new(&gcp, GceImage { name, family, licenses, nested, uefi, architecture, replace })?;
    let store = GcsBucket::new(&gcp, &bucket)?;
    let plan = store.plan(&key, parcel.source.size())?;
    let address = store.address_of(&key);
    if pushed.pushing.dry_run {
        return print(None, format!("{plan}{}", gce.plan(&address)).trim_end());
    }
    let limit = limit(pushed.timeout);
    gce.check(limit)?;
    let readers = if public { Readers::All } else { Readers::Usual };
    let stored = store.put(&key, &parcel.source, readers, limit).inspect_err(|_| progress.clear())?;
    let image = gce.insert(&address, limit);
    progress.clear();
    let image = image?;
    let json = pushed.pushing.json.then(|| {
        let mut json = object(&stored);
        json["image"] = image.clone().into();
        json
    });
    print(json, &image)
}
