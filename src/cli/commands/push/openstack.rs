//! `lkit push openstack`.

use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;

use super::{Parcel, limit, print, surroundings};
use crate::cli::args::PushOpenStack;
use crate::cli::progress::Progress;
use crate::cli::report::Failure;
use crate::push::{Glance, GlanceImage, GlanceImageOptions, OpenStack, OpenStackOptions};

/// Makes an image of a disk.
pub fn push(args: PushOpenStack, progress: &Arc<Progress>) -> Result<ExitCode, Failure> {
    let PushOpenStack { format, cloud, region, endpoint, uefi, properties, pushed } = args;
    let parcel = Parcel::new(&pushed.what, &format, pushed.pushing.system, progress)?;
    let name = parcel.name(pushed.img_name);
    let image = GlanceImage::new(GlanceImageOptions { name, end: parcel.end.clone(), uefi, properties })?;
    let (_interrupts, surroundings) = surroundings(&parcel, progress)?;
    let cloud = OpenStack::new(OpenStackOptions { cloud, region, endpoint }, &surroundings)?;
    if pushed.pushing.dry_run {
        return print(None, image.plan(&cloud, parcel.source.size()).trim_end());
    }
    let stored = Glance::new(&cloud)?.put(&image, &parcel.source, limit(pushed.timeout));
    progress.clear();
    let stored = stored?;
    let json = pushed.pushing.json.then(
        || json!({"image": stored.key, "url": stored.url, "digest": stored.digest.to_string(), "size": stored.size}),
    );
    print(json, &stored.key)
}
