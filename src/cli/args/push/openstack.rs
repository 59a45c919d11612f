//! Arguments of `push openstack`.

use clap::Args as Group;

use super::Pushed;

#[derive(Debug, Group)]
pub struct PushOpenStack {
    /// Format of the disk, as `lkit build` writes it
    #[arg(short, long, value_name = "FORMAT", default_value = "qcow2-bios")]
    pub format: String,
    /// Cloud of clouds.yaml [default: OS_CLOUD, else what OS_AUTH_URL and other variables say]
    #[arg(long, value_name = "NAME")]
    pub cloud: Option<String>,
    /// Region of the image service [default: OS_REGION_NAME, else that of the cloud]
    #[arg(long, value_name = "NAME")]
    pub region: Option<String>,
    /// Image service (Glance) to ask, in the place of that of the catalog
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Start the image by UEFI
    #[arg(long)]
    pub uefi: bool,
    /// Give the image a property (repeatable)
    #[arg(long = "property", value_name = "KEY=VALUE")]
    pub properties: Vec<String>,
    #[command(flatten)]
    pub pushed: Pushed,
}
