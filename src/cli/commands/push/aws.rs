//! `lkit push s3` and `lkit push aws`.

use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Parcel, limit, print, surroundings};
use crate::cli::args::{AwsAccount, PushAws, PushS3};
use crate::cli::progress::Progress;
use crate::cli::report::Failure;
use crate::push::{Ami, AmiOptions, Aws, AwsOptions, Bucket, Ec2, Stored, Surroundings};

/// Puts an artifact into a bucket.
pub fn put(args: PushS3, progress: &Arc<Progress>) -> Result<ExitCode, Failure> {
    let PushS3 { account, format, pushed } = args;
    let parcel = Parcel::new(&pushed.what, &format, pushed.pushing.system, progress)?;
    let (_interrupts, surroundings) = surroundings(&parcel, progress)?;
    let bucket = bucket(account, &surroundings)?;
    let key = format!("{}{}", parcel.name(pushed.img_name), parcel.end);
    let plan = bucket.plan(&key, parcel.source.size())?;
    if pushed.pushing.dry_run {
        return print(None, plan.trim_end());
    }
    let stored = bucket.put(&key, &parcel.source, limit(pushed.timeout));
    progress.clear();
    let stored = stored?;
    print(pushed.pushing.json.then(|| object(&stored)), &stored.url)
}

/// Puts a disk into a bucket, and makes an image of it.
pub fn image(args: PushAws, progress: &Arc<Progress>) -> Result<ExitCode, Failure> {
    let PushAws { account, ena, sriov, uefi, tpm, pushed } = args;
    let parcel = Parcel::new(&pushed.what, "aws", pushed.pushing.system, progress)?;
    parcel.check_end(&[".raw", ".img", ".vmdk", ".vhd"], "AWS", "aws")?;
    let format = match parcel.end.as_str() {
        ".vmdk" => "VMDK",
        ".vhd" => "VHD",
        _ => "raw",
    };
    let architecture = if parcel.settings.origins.platform.architecture == "arm64" { "arm64" } else { "x86_64" };
    let name = parcel.name(pushed.img_name);
    let key = format!("{name}{}", parcel.end);
    let ami = Ami::new(AmiOptions { name, architecture, format, ena, sriov, uefi, tpm })?;
    let (_interrupts, surroundings) = surroundings(&parcel, progress)?;
    let bucket_name = account.bucket.clone().unwrap_or_default();
    let bucket = bucket(account, &surroundings)?;
    let plan = bucket.plan(&key, parcel.source.size())?;
    if pushed.pushing.dry_run {
        return print(None, format!("{plan}{}", ami.plan(bucket.aws(), &bucket.url_of(&key))).trim_end());
    }
    let limit = limit(pushed.timeout);
    let ec2 = Ec2::new(bucket.aws())?;
    let stored = bucket.put(&key, &parcel.source, limit).inspect_err(|_| progress.clear())?;
    let registered = ec2.register(&ami, &bucket_name, &stored, limit);
    progress.clear();
    let registered = registered?;
    let json = pushed.pushing.json.then(|| {
        let mut json = object(&stored);
        json["image"] = registered.image.clone().into();
        json["snapshot"] = registered.snapshot.clone().into();
        json["region"] = bucket.aws().region.clone().into();
        json
    });
    print(json, &registered.image)
}

fn bucket(account: AwsAccount, surroundings: &Arc<Surroundings>) -> Result<Bucket, Failure> {
    let AwsAccount { bucket, region, profile, endpoint } = account;
    let missing = || Failure::usage("no bucket is named").hint("name it with `--bucket`, or set `AWS_BUCKET`");
    let name = bucket.filter(|name| !name.is_empty()).ok_or_else(missing)?;
    Ok(Bucket::new(Aws::new(AwsOptions { region, profile, endpoint }, surroundings)?, &name)?)
}

pub(super) fn object(stored: &Stored) -> Value {
    json!({"url": stored.url, "digest": stored.digest.to_string(), "size": stored.size})
}
