//! Arguments about images for AWS Nitro Enclaves (EIF): `measure`, and options of `build` and `mount`.

use std::path::PathBuf;

use clap::{Args as Group, ValueHint};

use super::System;

/// What an image for an enclave holds that the other artifacts of a system do not.
#[derive(Debug, Default, Group)]
pub struct EifApplication {
    /// Spec of an enclave's application: its root is the second ramdisk of NAME.eif, below rootfs/ [default: one ramdisk]
    #[arg(long, value_name = "SPEC", value_hint = ValueHint::FilePath)]
    pub eif_application: Option<PathBuf>,
}

/// Images that an image for an enclave is made of, in the place of specs.
#[derive(Debug, Default, Group)]
pub struct EifImages {
    /// Image of an enclave's application, in the place of --eif-application: its files, and what it starts
    #[arg(long, value_name = "REFERENCE", conflicts_with = "eif_application")]
    pub image: Option<String>,
    /// Image that has an enclave's kernel and first ramdisk, in the place of specs: bzImage, cmdline, init, nsm.ko
    #[arg(long, value_name = "REFERENCE", conflicts_with = "specs")]
    pub kernel_image: Option<String>,
}

/// Who signs an image for an enclave.
#[derive(Debug, Default, Group)]
pub struct EifSignature {
    /// Sign NAME.eif with this key, a PEM file for ECDSA on P-384 [default: no signature]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "eif_certificate")]
    pub eif_key: Option<PathBuf>,
    /// Certificate of the key, as a PEM file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "eif_key")]
    pub eif_certificate: Option<PathBuf>,
}

#[derive(Debug, Group)]
pub struct Measure {
    /// Specs (files, `-`, or URLs; merged in order)
    #[arg(required_unless_present = "kernel_image", value_name = "SPEC")]
    pub specs: Vec<PathBuf>,
    #[command(flatten)]
    pub eif: EifApplication,
    #[command(flatten)]
    pub images: EifImages,
    /// Tell PCR8, too, of an image that is signed with the key of this certificate, a PEM file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub eif_certificate: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub system: System,
}
