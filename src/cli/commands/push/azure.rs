//! `lkit push azure`.

use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;

use super::{Parcel, limit, print, surroundings};
use crate::base::ErrorKind;
use crate::cli::args::PushAzure;
use crate::cli::progress::Progress;
use crate::cli::report::Failure;
use crate::push::{Azure, AzureOptions, ManagedImage, ManagedImageOptions, PageBlobOptions};

/// Puts a disk into a container, and makes an image of it.
pub fn push(args: PushAzure, progress: &Arc<Progress>) -> Result<ExitCode, Failure> {
    let PushAzure { storage_account, container, overwrite, blob_only, resource_group, location, .. } = args;
    let PushAzure { subscription, uefi, endpoint, resource_manager, pushed, .. } = args;
    let parcel = Parcel::new(&pushed.what, "vhd", pushed.pushing.system, progress)?;
    parcel.check_end(&[".vhd"], "Azure", "vhd")?;
    if !blob_only && parcel.settings.origins.platform.architecture == "arm64" {
        let hint = "push the disk alone with `--blob-only`, and make a version of an image in a gallery of it with `az sig \
                    image-version create`";
        return Err(Failure::new(ErrorKind::Unsupported, "Azure makes no managed images for `arm64`").hint(hint));
    }
    let (_interrupts, surroundings) = surroundings(&parcel, progress)?;
    let (group, account, manager) = (resource_group, storage_account, resource_manager);
    let azure = Azure::new(AzureOptions { subscription, group, account, endpoint, manager }, &surroundings)?;
    let name = parcel.name(pushed.img_name);
    let blob = azure.blob(PageBlobOptions { container, name: format!("{name}{}", parcel.end), overwrite })?;
    let options = ManagedImageOptions { name, location, uefi };
    let image = if blob_only { None } else { Some(azure.image(options)?) };
    let (plan, url) = (blob.plan(&parcel.source)?, blob.url());
    if pushed.pushing.dry_run {
        let images = image.map(|image| image.plan(&url)).unwrap_or_default();
        return print(None, format!("{plan}{images}").trim_end());
    }
    let limit = limit(pushed.timeout);
    let made = (|| {
        image.as_ref().map_or(Ok(()), |image| image.check(limit))?;
        let stored = blob.put(&parcel.source, limit)?;
        let make = |image: &ManagedImage| image.make(&url, limit).map_err(|error| blob.taken_back(error));
        Ok::<_, Failure>((stored, image.as_ref().map(make).transpose()?))
    })();
    progress.clear();
    let (stored, id) = made?;
    let json = pushed
        .pushing
        .json
        .then(|| json!({"url": stored.url, "digest": stored.digest.to_string(), "size": stored.size, "image": id}));
    print(json, id.as_deref().unwrap_or(&stored.url))
}
