//! Arguments of the commands about LinuxKit packages: `pkg`.

use std::path::PathBuf;

use clap::{Args as Group, Subcommand, ValueHint};

#[derive(Debug, Group)]
pub struct Pkg {
    #[command(subcommand)]
    pub command: PkgCommand,
    #[command(flatten)]
    pub naming: PkgNaming,
}

#[derive(Debug, Subcommand)]
pub enum PkgCommand {
    /// Print what packages are called, with the hash of their directory as tag
    ShowTag {
        /// Directories of packages
        #[arg(required = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
        dirs: Vec<PathBuf>,
        /// Print names in full, such as docker.io/linuxkit/init:…
        #[arg(long)]
        canonical: bool,
    },
    /// Build packages that are neither in the cache nor in their registry; the images go into the cache
    Build(PkgBuild),
    /// The same, and put the images into their registry: pkg build --push
    Push(PkgBuild),
    /// Put an image index of all platforms that the registry has into it
    #[command(alias = "index")]
    Manifest {
        /// Directories of packages
        #[arg(required = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
        dirs: Vec<PathBuf>,
        /// Put it there under this tag, too, unless that is taken
        #[arg(long, value_name = "TAG")]
        release: Option<String>,
        #[command(flatten)]
        place: PkgPlace,
    },
}

/// What packages are called, and what of their build.yml does not count.
#[derive(Debug, Default, Group)]
pub struct PkgNaming {
    /// File name of the description of packages
    #[arg(long, value_name = "FILE", default_value = "build.yml", global = true)]
    pub build_yml: String,
    /// Organization, in the place of what packages say
    #[arg(long, value_name = "ORG", env = "LINUXKIT_PKG_ORG", global = true)]
    pub org: Option<String>,
    /// Tag, in the place of what packages say; {{.Hash}} stands for the hash
    #[arg(long, value_name = "TAG", global = true)]
    pub tag: Option<String>,
    /// Hash, in the place of that of the directory
    #[arg(long, value_name = "HASH", global = true)]
    pub hash: Option<String>,
    /// Commit whose hash it is
    #[arg(long, value_name = "COMMIT", default_value = "HEAD", global = true)]
    pub hash_commit: String,
    /// Directory whose hash it is, the package's or one around it
    #[arg(long, value_name = "DIR", global = true, value_hint = ValueHint::DirPath)]
    pub hash_path: Option<PathBuf>,
    /// Organization $USER and hash `dev`
    #[arg(long, global = true)]
    pub dev: bool,
    /// Take packages to differ from their commit
    #[arg(long, global = true)]
    pub force_dirty: bool,
    /// Use no steps of earlier builds
    #[arg(long, global = true, conflicts_with = "enable_cache")]
    pub disable_cache: bool,
    /// Use steps of earlier builds
    #[arg(long, global = true)]
    pub enable_cache: bool,
    /// Let builds use the network
    #[arg(long, global = true, conflicts_with = "nonetwork")]
    pub network: bool,
    /// Let builds use no network
    #[arg(long, global = true)]
    pub nonetwork: bool,
}

/// Where images are.
#[derive(Debug, Default, Group)]
pub struct PkgPlace {
    /// Cache of blobs and indexes [default: lkit in the user's cache folder]
    #[arg(long, value_name = "DIR", env = "LKIT_CACHE", value_hint = ValueHint::DirPath)]
    pub cache: Option<PathBuf>,
    /// How to speak to a registry, as REGISTRY=http://REGISTRY for one without TLS (repeatable)
    #[arg(long, value_name = "[REGISTRY=]URL")]
    pub mirror: Vec<String>,
    /// Trust the authorities whose certificates this file has, besides the system's (repeatable)
    #[arg(long, value_name = "FILE", env = "LKIT_CA", value_hint = ValueHint::FilePath)]
    pub ca: Vec<PathBuf>,
}

#[derive(Debug, Group)]
pub struct PkgBuild {
    /// Directories of packages
    #[arg(required = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dirs: Vec<PathBuf>,
    /// Build also what is there
    #[arg(long, conflicts_with_all = ["pull", "nobuild"])]
    pub force: bool,
    /// Bring what is in a registry into the cache
    #[arg(long)]
    pub pull: bool,
    /// Put the images into their registry
    #[arg(long)]
    pub push: bool,
    /// Build nothing; push what is in the cache
    #[arg(long)]
    pub nobuild: bool,
    /// Platforms, such as linux/amd64,linux/arm64 [default: those that a package says]
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',', conflicts_with = "skip_platforms")]
    pub platforms: Vec<String>,
    /// Platforms to leave out
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    pub skip_platforms: Vec<String>,
    /// Push under this tag, too, unless that is taken [default: the git tag of the commit]
    #[arg(long, value_name = "TAG")]
    pub release: Option<String>,
    /// Program that builds: buildctl, docker (with buildx) or buildah [default: the first of them that is there]
    #[arg(long, value_name = "PROGRAM", env = "LKIT_BUILDER")]
    pub builder: Option<String>,
    /// Image that makes the SBOM while BuildKit builds, or `false` for none [default: BuildKit's own]
    #[arg(long, value_name = "IMAGE")]
    pub sbom_scanner: Option<String>,
    /// Dockerfile in the directory of the package, in the place of what it says
    #[arg(long, value_name = "FILE")]
    pub dockerfile: Option<String>,
    /// File of build arguments, one NAME=VALUE a line (repeatable)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub build_arg_file: Vec<PathBuf>,
    /// How the builder shows its progress, such as plain
    #[arg(long, value_name = "HOW")]
    pub progress: Option<String>,
    /// Agent or key of SSH for the build (repeatable)
    #[arg(long, value_name = "SSH")]
    pub ssh: Vec<String>,
    /// Print the commands of the builder and run nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub place: PkgPlace,
    #[command(flatten)]
    pub foreign: PkgForeign,
}

/// Options of linuxkit that lkit refuses, each with a sentence that says what to do instead.
#[derive(Debug, Default, Group)]
pub struct PkgForeign {
    #[arg(long, hide = true)]
    pub docker: bool,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true")]
    pub manifest: String,
    #[arg(long, hide = true)]
    pub builders: Option<String>,
    #[arg(long, hide = true)]
    pub builder_name: Option<String>,
    #[arg(long, hide = true)]
    pub builder_image: Option<String>,
    #[arg(long, hide = true)]
    pub builder_config: Option<String>,
    #[arg(long, hide = true)]
    pub builder_restart: bool,
    #[arg(long, hide = true)]
    pub precache_images: bool,
    #[arg(long, hide = true)]
    pub ignore_cached: bool,
    #[arg(long, hide = true)]
    pub registry_creds: Vec<String>,
}
