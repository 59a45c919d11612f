//! What is asked of a system.

use std::fmt;
use std::sync::Arc;

use super::{Application, LoaderOrigin, Loaders};
use crate::layer::Layers;
use crate::output::{Catalog, Completion, RootFs, Signer};
use crate::rootfs::BillOptions;

/// How artifacts are made.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What their names begin with; by default the file name of the last spec without its extension.
    pub name: Option<String>,
    /// Size of disks in bytes; by default as small as they can be.
    pub disk_size: Option<u64>,
    /// Least size of an empty partition for data on disks, in bytes; by default there is none.
    pub data_size: Option<u64>,
    /// The kernel is shown uncompressed.
    pub decompress_kernel: bool,
    /// The root gets a bill of materials; by default none.
    pub bill: Option<BillOptions>,
    /// Boot loaders in the place of lkit's own.
    pub loaders: Loaders,
    /// Which device trees artifacts for boards have: names with `*`, or files (`/…`, `./…`); by default all of the kernel.
    pub device_trees: Vec<String>,
    /// What has the firmware of a Raspberry Pi and U-Boot: of two files with one name the first counts.
    pub firmware: Vec<LoaderOrigin>,
    /// The file system of a root on a disk, for which an initrd is made that starts it; by default none.
    pub root: Option<RootFs>,
    /// The application in an image for an enclave, its second ramdisk; by default there is one ramdisk.
    pub application: Option<Application>,
    /// The spec is that of [`kernel_image_spec`](super::kernel_image_spec): the first ramdisk of an enclave is what an image
    /// has for AWS's `init`.
    pub kernel_image: bool,
    /// Who signs the image for an enclave; by default nobody.
    pub signer: Option<Arc<Signer>>,
    /// Gets what can be served before all layers are indexed, where that takes more than a look at indexes.
    pub on_early: Option<OnEarly>,
}

/// What can be served of a system while layers of volumes and containers are still passed over, or fetched.
pub struct Early {
    /// Kernel and command line, and the names of all else, which waits for the completion.
    pub catalog: Catalog,
    /// Takes the catalog of the system that the load comes to.
    pub completion: Completion,
    /// The layers that it is read from.
    pub layers: Arc<Layers>,
}

/// Takes what can be served early; at most once in a load, before its end, on some thread.
#[derive(Clone)]
pub struct OnEarly(Arc<dyn Fn(Early) + Send + Sync>);

impl OnEarly {
    /// Calls `take`.
    pub fn new(take: impl Fn(Early) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    pub(super) fn call(&self, early: Early) {
        (self.0)(early);
    }
}

impl fmt::Debug for OnEarly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnEarly")
    }
}
