//! What a system is made from.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::{Ending, Platform};
use crate::blob::Keep;
use crate::layer::{ReadList, Recorder};
use crate::oci::{Credentials, Mirror, Pull, Reference, Trust};

/// Where specs, images and files come from.
#[derive(Clone, Debug)]
pub struct Origins {
    /// Platform of the system; by default this machine's processor.
    pub platform: Platform,
    /// Directory of the cache, which is made where it is missing.
    pub cache: PathBuf,
    /// What of layers stays in the cache; without anything, the cache is not even looked at.
    pub keep: Keep,
    /// Most bytes of the cache, as far as what live mounts use allows; by default as many as there is room for.
    pub cache_limit: Option<u64>,
    /// OCI layouts, in the order they are looked at, before the cache; `docker-daemon:NAME` is an image of the daemon.
    pub layouts: Vec<PathBuf>,
    /// Socket of the docker daemon; by default `/var/run/docker.sock`.
    pub docker: PathBuf,
    /// Images that the docker daemon has are taken from it, before all layouts; by default only those that layouts name.
    pub docker_first: bool,
    /// When registries are asked; by default for what is not here.
    pub pull: Pull,
    /// Asked before the registries they stand for, in this order; by default none.
    pub mirrors: Vec<Mirror>,
    /// What registries are told; by default nothing.
    pub credentials: Credentials,
    /// Whose layer indexes are used for layers that have none here, although nobody has verified them; by default nobody's.
    pub trusted_indexes: Vec<IndexPlace>,
    /// What is fetched before it is read, of layers that are not here; by default nothing.
    pub prefetch: Prefetch,
    /// Takes note of what is decoded; by default nobody does.
    pub recorder: Option<Arc<Recorder>>,
    /// Whom TLS trusts in addition to the system's authorities; by default nobody.
    pub trust: Trust,
    /// Images are only taken by the digests that the lock of the specs records; by default without a lock.
    pub locked: bool,
    /// Which specs may name files of this machine; by default those that do not come from a URL.
    pub local_sources: LocalSources,
    /// The directory that `~/` means in a `source` of `files`; without one such a file is not found.
    pub home: Option<PathBuf>,
    /// When registries are waited for no longer; by default they are for as long as it takes.
    pub ending: Ending,
}

impl Origins {
    /// This machine's platform, this cache, and registries without a password.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            platform: Platform::host(),
            cache: cache.into(),
            keep: Keep::default(),
            cache_limit: None,
            layouts: Vec::new(),
            docker: "/var/run/docker.sock".into(),
            docker_first: false,
            pull: Pull::default(),
            mirrors: Vec::new(),
            credentials: Credentials::default(),
            trusted_indexes: Vec::new(),
            prefetch: Prefetch::default(),
            recorder: None,
            trust: Trust::default(),
            locked: false,
            local_sources: LocalSources::default(),
            home: None,
            ending: Ending::default(),
        }
    }
}

/// What is fetched before it is read.
#[derive(Clone, Debug, Default)]
pub enum Prefetch {
    /// Nothing.
    #[default]
    Nothing,
    /// What the lock lists, where one is used, else what is published with the layer indexes that are used.
    Known,
    /// This.
    Listed(ReadList),
}

/// Where published layer indexes are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexPlace {
    /// In the repository of the image.
    Beside,
    /// In this one.
    In(Box<Reference>),
}

impl IndexPlace {
    /// The repository to ask for the indexes of an image.
    pub(super) fn of<'a>(&'a self, image: &'a Reference) -> &'a Reference {
        match self {
            Self::Beside => image,
            Self::In(repository) => repository,
        }
    }
}

/// Which specs may name files of this machine, to be read into the system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LocalSources {
    /// All but those from URLs.
    #[default]
    OfLocalSpecs,
    /// Those from URLs, too.
    OfAllSpecs,
}

/// The boot loaders that take the place of lkit's own.
#[derive(Clone, Debug, Default)]
pub struct Loaders {
    /// Where systemd-boot comes from, to start disks and ISOs by UEFI.
    pub systemd_boot: Option<LoaderOrigin>,
    /// Where ISOLINUX comes from, to start ISOs by BIOS.
    pub isolinux: Option<LoaderOrigin>,
}

/// What has the files of a boot loader.
#[derive(Clone, Debug)]
pub enum LoaderOrigin {
    /// A directory.
    Directory(PathBuf),
    /// An image.
    Image(Box<Reference>),
}

impl fmt::Display for LoaderOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => path.display().fmt(f),
            Self::Image(reference) => reference.fmt(f),
        }
    }
}
