//! Arguments of `push gcp`.

use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Args as Group, ValueHint};

use super::Pushed;

#[derive(Debug, Group)]
pub struct PushGcp {
    /// Bucket to put it into
    #[arg(long, value_name = "NAME", env = "CLOUDSDK_IMAGE_BUCKET")]
    pub bucket: Option<String>,
    /// Project of the image [default: GOOGLE_CLOUD_PROJECT, else that of the key, else what gcloud is configured with]
    #[arg(long, value_name = "PROJECT", env = "CLOUDSDK_CORE_PROJECT")]
    pub project: Option<String>,
    /// Key of the service account that asks [default: GOOGLE_APPLICATION_CREDENTIALS, else what `gcloud auth
    /// application-default login` left, else the account of this machine of Google's]
    #[arg(long, value_name = "FILE", env = "CLOUDSDK_COMPUTE_KEYS", value_hint = ValueHint::FilePath)]
    pub keys: Option<PathBuf>,
    /// Server to ask in the place of Google's [default: STORAGE_EMULATOR_HOST for the bucket,
    /// CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE for the image]
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Let everybody read what is in the bucket
    #[arg(long, env = "CLOUDSDK_IMAGE_PUBLIC", value_parser = FalseyValueParser::new())]
    pub public: bool,
    /// Family of the image: its name means the newest image of it
    #[arg(long, value_name = "NAME", env = "CLOUDSDK_IMAGE_FAMILY")]
    pub family: Option<String>,
    /// License of the image, as `projects/PROJECT/global/licenses/NAME` (repeatable)
    #[arg(long, value_name = "LICENSE", value_delimiter = ',')]
    pub license: Vec<String>,
    /// Let its machines run machines
    #[arg(long)]
    pub nested_virt: bool,
    /// Tell that it starts by UEFI, which machines with a vTPM need
    #[arg(long)]
    pub uefi_compatible: bool,
    /// Remove an image of the same name first
    #[arg(long)]
    pub replace: bool,
    #[command(flatten)]
    pub pushed: Pushed,
}
