//! What may be asked for beside the spec, of the root that it comes to.

use crate::base::Metadata;
use crate::sbom::Format;

/// What may be asked for beside the spec.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The kernel is decompressed.
    pub decompress_kernel: bool,
    /// What the spec comes to.
    pub part: Part,
    /// Device trees of boards are looked for.
    pub device_trees: bool,
    /// The root gets a bill of materials.
    pub bill: Option<BillOptions>,
}

/// What a spec comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// The root of a system.
    #[default]
    Root,
    /// What it is booted with: kernel, command line and microcode, and the root without volumes and containers, which give
    /// nothing to them. Needs the images of [`boot_images`](super::boot_images) alone.
    Boot,
    /// The first ramdisk of an enclave: what its kernel image has for AWS's `init`.
    Bootstrap,
    /// The second one: the root below `rootfs/`.
    Application,
    /// The same with the command and the environment of the first init image beside it.
    ApplicationOfImage,
}

/// What is asked of a bill of materials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BillOptions {
    /// How it is written.
    pub format: Format,
    /// Its path in the root.
    pub path: String,
    /// When it was made, in seconds since 1970.
    pub created: i64,
}

impl Default for BillOptions {
    fn default() -> Self {
        let format = Format::default();
        Self { format, path: format.file_name().to_owned(), created: Metadata::GENERATED_MTIME }
    }
}
