//! The image for an AWS Nitro Enclave, and what the enclave measures when it starts from it.
//!
//! # Format
//! AWS Nitro Enclaves user guide, "Cryptographic attestation": each PCR is SHA-384 over 48 zeros and the SHA-384 of what it
//! covers. Metadata and signature are in none.

use std::sync::Arc;

use serde_json::json;
use sha2::{Digest as _, Sha384};

use super::media::unpacked;
use super::{Obstacle, Signer, System};
use crate::base::{Digest, FileKind};
use crate::boot::{KernelKind, Machine};
use crate::extent::{Bytes, ReadError, SharedSource, read_through};
use crate::format::{self, Eif};
use crate::tree::Tree;

/// What an image for an enclave holds that the other artifacts of a system do not.
#[derive(Clone, Default)]
pub struct Enclave {
    /// The root of the application: the second ramdisk.
    pub application: Option<Arc<Tree>>,
    /// The same for the same spec and images of the application.
    pub seed: Option<Digest>,
    /// Who signs the image.
    pub signer: Option<Arc<Signer>>,
}

/// The value of a platform configuration register.
pub type Pcr = [u8; 48];

/// What an enclave measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measurements {
    /// PCR0: kernel, command line and all ramdisks.
    pub image: Pcr,
    /// PCR1: kernel, command line and the first ramdisk.
    pub bootstrap: Pcr,
    /// PCR2: the other ramdisk.
    pub application: Pcr,
}

/// The parts that an enclave measures.
struct Parts {
    arm64: bool,
    kernel: SharedSource,
    cmdline: SharedSource,
    initrd: SharedSource,
    application: Option<SharedSource>,
}

impl Parts {
    fn new(system: &System, initrd: SharedSource) -> Result<Self, Obstacle> {
        let (kernel, head) = unpacked(system)?;
        let application = system.enclave.application.clone().map(format::cpio).transpose()?;
        let cmdline = Arc::new(Bytes(system.cmdline.clone().unwrap_or_default().into()));
        let arm64 = matches!(head.kind, KernelKind::Efi { machine: Machine::Arm64, .. });
        let parts = Self { arm64, kernel, cmdline, initrd, application };
        parts.check()?;
        Ok(parts)
    }

    /// Refuses what no image holds, before all of it is read for a signature or a register.
    fn check(&self) -> Result<(), format::Error> {
        let parts = [&self.kernel, &self.cmdline, &self.initrd].into_iter().chain(&self.application);
        format::eif_holds(parts.map(|part| part.size()))
    }

    fn measure(&self) -> Result<Measurements, ReadError> {
        let (mut image, mut application) = (Sha384::new(), Sha384::new());
        for part in [&self.kernel, &self.cmdline, &self.initrd] {
            read_through(&**part, &mut |bytes| image.update(bytes))?;
        }
        let bootstrap = image.clone();
        if let Some(part) = &self.application {
            read_through(&**part, &mut |bytes| {
                image.update(bytes);
                application.update(bytes);
            })?;
        }
        Ok(Measurements { image: pcr(image), bootstrap: pcr(bootstrap), application: pcr(application) })
    }
}

/// A register that was extended once, with what was hashed.
pub(super) fn pcr(hashed: Sha384) -> Pcr {
    Sha384::new().chain_update([0; size_of::<Pcr>()]).chain_update(hashed.finalize()).finalize().into()
}

/// Why there can be no image of a system, as far as the sizes of files tell.
pub(super) fn too_large(system: &System) -> Option<format::Error> {
    let trees = std::iter::once(&system.tree).chain(&system.enclave.application);
    let inodes = trees.flat_map(|tree| (0..tree.inode_count()).filter_map(|index| Some(tree.inode(tree.id(index)?))));
    let files = inodes.filter(|inode| inode.metadata.kind == FileKind::File);
    format::eif_holds(files.map(|inode| inode.size)).err()
}

/// What an enclave measures that is started from the image of a system. Reads all of it once.
///
/// # Errors
/// When there is no kernel, or something cannot be laid out or read.
pub fn measure(system: &System, initrd: SharedSource) -> Result<Measurements, Obstacle> {
    Ok(Parts::new(system, initrd)?.measure()?)
}

/// The image of a system. Only a signature needs content, all of it.
///
/// # Errors
/// As [`measure`].
pub fn image(name: &str, system: &System, initrd: SharedSource) -> Result<SharedSource, Obstacle> {
    let parts = Parts::new(system, initrd)?;
    let signature = match &system.enclave.signer {
        Some(signer) => Some(signer.sign(&parts.measure()?.image)),
        None => None,
    };
    let Parts { arm64, kernel, cmdline, initrd, application } = parts;
    let ramdisks = [Some(initrd), application].into_iter().flatten().collect();
    let metadata = metadata(name, system);
    Ok(Eif { arm64, kernel, cmdline, metadata, ramdisks, signature }.layout()?)
}

/// What tells the specs and images of a system from all others.
fn version(system: &System) -> Digest {
    match &system.enclave.seed {
        None => system.seed,
        Some(application) => Digest::of([system.seed, *application].map(|seed| seed.to_string()).concat().as_bytes()),
    }
}

/// "EifIdentityInfo" with the fields that `nitro-cli describe-eif` reads. No clock is asked: the time is that of all files
/// that lkit makes, and the version tells specs and images from all others.
fn metadata(name: &str, system: &System) -> Vec<u8> {
    let metadata = json!({
        "ImageName": name,
        "ImageVersion": version(system).to_string(),
        "BuildMetadata": {
            "BuildTime": "2017-04-18T16:30:00+00:00",
            "BuildTool": "lkit",
            "BuildToolVersion": env!("CARGO_PKG_VERSION"),
            "OperatingSystem": "Linux",
            "KernelVersion": "Unknown",
        },
        "DockerInfo": null,
        "CustomMetadata": null,
    });
    metadata.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From AWS's crate `aws-nitro-enclaves-image-format` 0.8.1, by `EifBuilder::write_to` for the same parts.
    #[test]
    fn registers_are_those_of_awss_own_crate() {
        let part = |text: &str| Arc::new(Bytes(text.as_bytes().into())) as SharedSource;
        let registers = |application: Option<&str>| {
            let (kernel, cmdline, initrd) = (part("KERNEL"), part("quiet"), part("FIRST RAMDISK"));
            let parts = Parts { arm64: true, kernel, cmdline, initrd, application: application.map(part) };
            let Measurements { image, bootstrap, application } = parts.measure().unwrap();
            [image, bootstrap, application].map(|pcr| base16ct::lower::encode_string(&pcr))
        };
        let first = "237fba553363bfa12f04a41ace3f02f0da3a018fddebea0d084d4c72bb7259806a5b4ec4f897c4fd41cc6acfef1ee53a";
        let none = "21b9efbc184807662e966d34f390821309eeac6802309798826296bf3e8bec7c10edb30948c90ba67310f7b964fc500a";
        let both = "ee1468809d4266a7ee7f9f7640912d4494577315dcfe29f14f8a05d1514a070df8773acde583e0e534040b9a5fd068b4";
        let second = "3124fd8b91dbd08e6115b24b0d3f959cca7356cfbaef3bee2c0b856f1c2ca7493a5ffb5f469936ab3e8a20ee3febb910";
        assert_eq!(registers(None), [first, first, none]);
        assert_eq!(registers(Some("SECOND")), [both, first, second]);
    }

    #[test]
    fn what_no_image_holds_is_refused_before_it_is_measured() {
        let zeros = |size| Arc::new(crate::extent::Zeros(size)) as SharedSource;
        let parts = |initrd, application| {
            let (kernel, cmdline) = (zeros(1 << 20), zeros(5));
            Parts { arm64: true, kernel, cmdline, initrd: zeros(initrd), application: Some(zeros(application)) }.check()
        };
        assert!(parts(8 << 30, 7 << 30).is_ok());
        for (initrd, application) in [(16 << 30, 0), (8 << 30, 8 << 30), (u64::MAX, u64::MAX)] {
            let error = parts(initrd, application).unwrap_err().to_string();
            assert_eq!(error, "the content is more than an EIF can hold (17179869184 bytes)");
        }
    }

    #[test]
    fn a_register_that_covers_nothing_has_the_value_that_aws_documents_for_it() {
        let hex: String = base16ct::lower::encode_string(&pcr(Sha384::new()));
        let expected =
            "21b9efbc184807662e966d34f390821309eeac6802309798826296bf3e8bec7c10edb30948c90ba67310f7b964fc500a";
        assert_eq!(hex, expected);
    }
}
