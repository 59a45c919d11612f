//! Arguments of `push`.

mod azure;
mod gcp;
mod openstack;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args as Group, Subcommand, ValueHint};

pub use self::azure::PushAzure;
pub use self::gcp::PushGcp;
pub use self::openstack::PushOpenStack;
use super::System;

#[derive(Debug, Group)]
pub struct Push {
    #[command(subcommand)]
    pub command: PushCommand,
}

#[derive(Debug, Subcommand)]
pub enum PushCommand {
    /// Put a disk or another artifact into a bucket of S3, or of a store that speaks its protocol
    S3(PushS3),
    /// Put a disk into a bucket of S3, and make an image (AMI) of it
    Aws(Box<PushAws>),
    /// Put a disk into a bucket of Google Cloud, and make an image of it
    Gcp(Box<PushGcp>),
    /// Put a disk into a storage account of Azure as a page blob, and make a managed image of it
    Azure(Box<PushAzure>),
    /// Put a disk into the image service (Glance) of an OpenStack cloud
    Openstack(Box<PushOpenStack>),
    /// Put the files of a format into a registry as one artifact, which `mount` and `run` read back as oci://REFERENCE
    Registry(PushRegistry),
    /// A place that lkit pushes nothing to: it tells what to do instead
    #[command(external_subcommand)]
    Elsewhere(Vec<OsString>),
}

/// What is pushed, and how long that may take.
#[derive(Debug, Group)]
pub struct Pushed {
    /// Specs (files, `-`, or URLs; merged in order), or a file that is pushed as it is
    #[arg(required = true, value_name = "SPEC|FILE", value_hint = ValueHint::FilePath)]
    pub what: Vec<PathBuf>,
    /// Name of the image there, to which the end of the file's name is added [default: what the file is called without its
    /// end]
    #[arg(long, value_name = "NAME")]
    pub img_name: Option<String>,
    /// Seconds that sending may take, and that the image may take to be made
    #[arg(long, value_name = "SECONDS", env = "LINUXKIT_UPLOAD_TIMEOUT", default_value_t = 3600)]
    pub timeout: u32,
    #[command(flatten)]
    pub pushing: Pushing,
}

/// What every push takes.
#[derive(Debug, Group)]
pub struct Pushing {
    /// Tell what would be asked, and ask nobody
    #[arg(long)]
    pub dry_run: bool,
    /// Print what was pushed as JSON
    #[arg(long, conflicts_with = "dry_run")]
    pub json: bool,
    #[command(flatten)]
    pub system: System,
}

/// The account of AWS that a push uses, its bucket, and the server.
#[derive(Debug, Group)]
pub struct AwsAccount {
    /// Bucket to put it into
    #[arg(long, value_name = "NAME", env = "AWS_BUCKET")]
    pub bucket: Option<String>,
    /// Region of the bucket [default: AWS_REGION, else what the profile says]
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// Profile in ~/.aws/credentials and ~/.aws/config [default: AWS_PROFILE, else default]
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Server to ask in the place of Amazon's [default: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL_EC2, AWS_ENDPOINT_URL]
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
}

#[derive(Debug, Group)]
pub struct PushS3 {
    #[command(flatten)]
    pub account: AwsAccount,
    /// Format of the file, as `lkit build` writes it
    #[arg(short, long, value_name = "FORMAT", default_value = "raw-efi")]
    pub format: String,
    #[command(flatten)]
    pub pushed: Pushed,
}

#[derive(Debug, Group)]
pub struct PushRegistry {
    /// Specs (files, `-`, or URLs; merged in order) or a file that is pushed as it is, then the reference to push to
    #[arg(required = true, num_args = 1.., value_names = ["SPEC|FILE", "REFERENCE"], value_hint = ValueHint::FilePath)]
    pub what: Vec<PathBuf>,
    /// Format of the files, as `lkit build` writes it
    #[arg(short, long, value_name = "FORMAT", default_value = "kernel+initrd")]
    pub format: String,
    #[command(flatten)]
    pub pushing: Pushing,
}

#[derive(Debug, Group)]
pub struct PushAws {
    #[command(flatten)]
    pub account: AwsAccount,
    /// Tell that the image has drivers for Elastic Network Adapters
    #[arg(long)]
    pub ena: bool,
    /// Tell that it has drivers for virtual functions of network cards: simple
    #[arg(long, value_name = "KIND")]
    pub sriov: Option<String>,
    /// Start it by UEFI
    #[arg(long)]
    pub uefi: bool,
    /// Give it a TPM, which needs --uefi
    #[arg(long, requires = "uefi")]
    pub tpm: bool,
    #[command(flatten)]
    pub pushed: Pushed,
}
