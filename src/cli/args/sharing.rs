//! Arguments of the commands that share images and their indexes: `index` and `cache`.

use std::path::PathBuf;

use clap::{Args as Group, Subcommand, ValueHint};

use super::Sources;

#[derive(Debug, Group)]
pub struct Index {
    #[command(subcommand)]
    pub command: IndexCommand,
}

#[derive(Debug, Subcommand)]
pub enum IndexCommand {
    /// Make the indexes that are missing, and push them beside the images
    Push {
        /// Repository, or oci:DIR for an OCI layout, to push to in the place of each image's own repository
        #[arg(long, value_name = "TARGET")]
        to: Option<String>,
        /// Push them in SOCI's format: v1 refers to the image, v2 makes an image of it that names its index, under --tag
        #[arg(long, value_name = "VERSION", value_parser = ["v1", "v2"])]
        soci: Option<String>,
        /// Tag of the image that --soci v2 makes
        #[arg(long, requires = "soci")]
        tag: Option<String>,
        /// Push this read list with the indexes, to be fetched before it is read [default: none]
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        reads: Option<PathBuf>,
        #[command(flatten)]
        images: Images,
    },
    /// Fetch the indexes of images into the cache, to be used from now on
    Pull {
        /// Repository that has them, in the place of each image's own
        #[arg(long, value_name = "REPOSITORY")]
        from: Option<String>,
        #[command(flatten)]
        images: Images,
    },
    /// List the indexes that were pushed
    Ls {
        /// Repository to ask, in the place of each image's own
        #[arg(long, value_name = "REPOSITORY")]
        from: Option<String>,
        #[command(flatten)]
        images: Images,
    },
}

/// Images by the specs that name them, or one by its name.
#[derive(Debug, Group)]
pub struct Images {
    /// Specs (files, `-`, or URLs; merged in order)
    #[arg(value_name = "SPEC", required_unless_present = "image")]
    pub specs: Vec<PathBuf>,
    /// This image, in the place of specs
    #[arg(long, value_name = "REFERENCE", conflicts_with = "specs")]
    pub image: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub sources: Sources,
}

#[derive(Debug, Group)]
pub struct Cache {
    #[command(subcommand)]
    pub command: CacheCommand,
    /// Cache of blobs and indexes [default: lkit in the user's cache folder]
    #[arg(long, value_name = "DIR", env = "LKIT_CACHE", global = true)]
    pub cache: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// List the references in the cache: what they run on, their digest, their size here, and when they were used last
    Ls {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Bring images here whole, as their registries have them now; one that was interrupted goes on where it was
    Pull(CachePull),
    /// Put images of the cache into registries; what a registry has is not sent
    Push(CachePush),
    /// Bring the images of an OCI layout, an archive of one, or what `docker save` writes into the cache
    Import(CacheImport),
    /// Write images of the cache as one archive
    Export(CacheExport),
    /// Remove references from the cache, with what only they need
    Rm {
        /// References, as `lkit cache ls` lists them or as a spec writes them
        #[arg(required = true, value_name = "REFERENCE")]
        references: Vec<String>,
    },
    /// Remove what no reference in the cache needs, and what interrupted pulls left
    Clean {
        /// Keep the indexes of the layers that this OCI layout names (repeatable) [default: only of what is in the cache]
        #[arg(long, value_name = "DIR")]
        layout: Vec<PathBuf>,
        /// Remove all that is in the cache, references too
        #[arg(long, conflicts_with = "layout")]
        all: bool,
    },
}

#[derive(Debug, Group)]
pub struct CachePull {
    /// Image references, or specs whose images are meant (files, `-`, or URLs; merged in order); what is a file here, or
    /// ends with .yml or .yaml, is a spec
    #[arg(required = true, value_name = "SPEC|REFERENCE")]
    pub what: Vec<String>,
    /// Platforms to bring here, such as linux/arm64, or `all` (repeatable) [default: this machine's]
    #[arg(long, visible_alias = "arch", value_name = "PLATFORM", value_delimiter = ',')]
    pub platform: Vec<String>,
    /// Mirror of a registry, as [REGISTRY=]URL; without a registry, of docker.io; `*` is every one without (repeatable)
    #[arg(long, value_name = "[REGISTRY=]URL")]
    pub mirror: Vec<String>,
    /// Trust the authorities whose certificates this file has, besides the system's and those in certs.d (repeatable)
    #[arg(long, value_name = "FILE", env = "LKIT_CA", value_hint = ValueHint::FilePath)]
    pub ca: Vec<PathBuf>,
    /// Use the digests that the lock beside the specs records, and refuse references that it does not
    #[arg(long)]
    pub locked: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Group)]
pub struct CachePush {
    /// Image references in the cache, or specs whose images are meant, as with `pull`
    #[arg(required = true, value_name = "SPEC|REFERENCE")]
    pub what: Vec<String>,
    /// Repository to push to, as REGISTRY/REPOSITORY, under the same tag unless one follows [default: where each
    /// reference says]
    #[arg(long, alias = "remote-name", value_name = "REFERENCE")]
    pub to: Option<String>,
    /// Push the image for this platform alone [default: the reference with all that it names]
    #[arg(long, visible_alias = "arch", value_name = "PLATFORM")]
    pub platform: Option<String>,
    /// How to speak to a registry, as REGISTRY=http://REGISTRY for one without TLS; nothing is pushed to mirrors with
    /// other names (repeatable)
    #[arg(long, value_name = "[REGISTRY=]URL")]
    pub mirror: Vec<String>,
    /// Trust the authorities whose certificates this file has, besides the system's and those in certs.d (repeatable)
    #[arg(long, value_name = "FILE", env = "LKIT_CA", value_hint = ValueHint::FilePath)]
    pub ca: Vec<PathBuf>,
    /// Use the digests that the lock beside the specs records, and refuse references that it does not
    #[arg(long)]
    pub locked: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Group)]
pub struct CacheImport {
    /// OCI layout (a folder or a tar), or what `docker save` writes; `-` is standard input, which must be a tar
    #[arg(value_name = "FILE", value_hint = ValueHint::AnyPath)]
    pub file: PathBuf,
    /// Name of the one image in it [default: the names it gives its images]
    #[arg(long, value_name = "REFERENCE")]
    pub name: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Group)]
pub struct CacheExport {
    /// Image references in the cache
    #[arg(required = true, value_name = "REFERENCE")]
    pub references: Vec<String>,
    /// File to write to; `-` is standard output
    #[arg(short, long, alias = "outfile", value_name = "FILE")]
    pub output: PathBuf,
    /// Format of the archive
    #[arg(long, default_value = "oci", value_enum)]
    pub format: ArchiveFormat,
    /// Platform of the images, or `all` in an OCI layout [default: this machine's]
    #[arg(long, visible_alias = "arch", value_name = "PLATFORM")]
    pub platform: Option<String>,
    /// Name of the one image in the archive [default: its reference]
    #[arg(long, value_name = "REFERENCE")]
    pub name: Option<String>,
}

/// Formats of archives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ArchiveFormat {
    /// OCI layout as a tar
    Oci,
    /// What `docker load` takes
    Docker,
    /// The files of one image as a tar
    Filesystem,
}
