//! Arguments of `lkit metadata`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args as Group, Subcommand, ValueHint};

#[derive(Debug, Group)]
pub struct Metadata {
    #[command(subcommand)]
    pub command: MetadataCommand,
}

#[derive(Debug, Subcommand)]
pub enum MetadataCommand {
    /// Write an ISO with the metadata in its file `config`, where LinuxKit's package `metadata` looks for it
    Create(MetadataCreate),
}

#[derive(Debug, Group)]
pub struct MetadataCreate {
    /// ISO to write; `-` is standard output
    #[arg(value_name = "ISO", value_hint = ValueHint::FilePath)]
    pub iso: PathBuf,
    /// The metadata, such as '{"hostname": {"content": "a"}}'
    #[arg(value_name = "METADATA", allow_hyphen_values = true, required_unless_present = "data_file")]
    pub metadata: Option<OsString>,
    /// File with the metadata
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "metadata")]
    pub data_file: Option<PathBuf>,
    /// Call the volume `cidata` instead of `config`: so it is found on a disk, too, where a machine has no CDs
    #[arg(long)]
    pub cidata: bool,
}
