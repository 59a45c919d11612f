//! Arguments of `push azure`.

use clap::Args as Group;

use super::Pushed;

#[derive(Debug, Group)]
pub struct PushAzure {
    /// Storage account whose container takes the disk [default: AZURE_STORAGE_ACCOUNT, else that of
    /// AZURE_STORAGE_CONNECTION_STRING]
    #[arg(long, value_name = "NAME")]
    pub storage_account: Option<String>,
    /// Container for the disk, which is made when it is not there
    #[arg(long, value_name = "NAME", default_value = "linuxkitcontainer")]
    pub container: String,
    /// Replace a disk of that name in the container
    #[arg(long)]
    pub overwrite: bool,
    /// Put the disk there, and make no image of it
    #[arg(long, conflicts_with_all = ["uefi", "location"])]
    pub blob_only: bool,
    /// Resource group of the image, and of the storage account unless its key is known
    #[arg(long, value_name = "NAME")]
    pub resource_group: Option<String>,
    /// Location of the image [default: that of the resource group]
    #[arg(long, value_name = "NAME")]
    pub location: Option<String>,
    /// Subscription [default: AZURE_SUBSCRIPTION_ID, else that of `az`]
    #[arg(long, value_name = "ID")]
    pub subscription: Option<String>,
    /// Start the image by UEFI, as a machine of the second generation
    #[arg(long)]
    pub uefi: bool,
    /// Server of the storage account's blobs, in the place of Azure's
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Resource manager to ask, in the place of that of the public cloud
    #[arg(long, value_name = "URL")]
    pub resource_manager: Option<String>,
    #[command(flatten)]
    pub pushed: Pushed,
}
