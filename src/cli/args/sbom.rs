//! Arguments about the bill of materials of a system.

use clap::{Args as Group, ValueEnum};

use crate::sbom;

/// A bill of materials in the root.
#[derive(Debug, Default, Group)]
pub struct Sbom {
    /// Put a bill of materials (SBOM) into the root: what the attestations of images say, else what their databases of dpkg
    /// and apk list; the other options of the SBOM ask for one, too [default: none]
    #[arg(long)]
    pub sbom: bool,
    /// Make no SBOM, whatever other options say
    #[arg(long)]
    pub no_sbom: bool,
    /// Format of the SBOM
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub sbom_format: Option<SbomFormat>,
    /// Path of the SBOM in the root [default: sbom.spdx.json, for CycloneDX sbom.cdx.json]
    #[arg(long, value_name = "PATH")]
    pub sbom_output: Option<String>,
    /// Date the SBOM now; each build has other bytes then [default: 2017-04-18T16:30:00Z, as all files made here]
    #[arg(long)]
    pub sbom_current_time: bool,
}

/// Formats of bills of materials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SbomFormat {
    /// SPDX 2.3, as linuxkit
    Spdx,
    /// CycloneDX 1.5
    Cyclonedx,
}

impl From<SbomFormat> for sbom::Format {
    fn from(format: SbomFormat) -> Self {
        match format {
            SbomFormat::Spdx => Self::Spdx,
            SbomFormat::Cyclonedx => Self::CycloneDx,
        }
    }
}
