//! Arguments of the commands about LinuxKit packages: `pkg`.

use std::path::PathBuf;

use clap::{Args as Group, Subcommand, ValueEnum, ValueHint};

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
    /// Give what a registry has another name, there or in another registry
    RemoteTag {
        /// What is named
        #[arg(value_name = "FROM")]
        from: String,
        /// Its new name
        #[arg(value_name = "TO")]
        to: String,
        #[command(flatten)]
        place: PkgPlace,
    },
    /// Tell how much a builder keeps (du), or remove it (prune)
    Builder {
        /// What to do
        task: BuilderTask,
        /// Platforms whose builders are meant, where they have builders of their own
        #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
        platforms: Vec<String>,
        #[command(flatten)]
        builder: PkgBuilder,
    },
}

/// What is done with what a builder keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BuilderTask {
    Du,
    Prune,
}

/// What builds. Docker is what has builders by name.
#[derive(Debug, Default, Group)]
pub struct PkgBuilder {
    /// Program that builds: buildctl, docker (with buildx) or buildah [default: the first of them that is there]
    #[arg(long, value_name = "PROGRAM", env = "LKIT_BUILDER")]
    pub builder: Option<String>,
    /// Build with this builder of docker, which is made where it is missing [default: docker's own, or linuxkit-builder with
    /// one of the next four options]
    #[arg(long, value_name = "NAME", env = "LINUXKIT_BUILDER_NAME")]
    pub builder_name: Option<String>,
    /// Image of BuildKit that this builder runs; one of another image is made anew, without what it kept
    #[arg(long, value_name = "IMAGE", env = "LINUXKIT_BUILDER_IMAGE")]
    pub builder_image: Option<String>,
    /// Configuration of BuildKit for this builder, which is made anew by it
    #[arg(long, value_name = "FILE", env = "LINUXKIT_BUILDER_CONFIG", value_hint = ValueHint::FilePath)]
    pub builder_config: Option<PathBuf>,
    /// Make this builder anew
    #[arg(long)]
    pub builder_restart: bool,
    /// Contexts of docker whose builders build for platforms, such as linux/arm64=CONTEXT
    #[arg(long, value_name = "PLATFORM=CONTEXT", value_delimiter = ',', env = "LINUXKIT_BUILDERS")]
    pub builders: Vec<String>,
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
    #[command(flatten)]
    pub builder: PkgBuilder,
    /// Hand the images to docker's daemon as well, as NAME-ARCH and, for this machine, NAME
    #[arg(long, conflicts_with = "dry_run")]
    pub docker: bool,
    /// Pull the images that Dockerfiles build on into the cache first [default: those that are there are taken from it, others
    /// from their registries]
    #[arg(long)]
    pub precache_images: bool,
    /// Take the images that Dockerfiles build on from their registries, also those in the cache
    #[arg(long, conflicts_with = "precache_images")]
    pub ignore_cached: bool,
    /// Password for a registry while it is built, as REGISTRY=USER:PASSWORD or REGISTRY=TOKEN, in the place of all that docker
    /// knows (repeatable)
    #[arg(long, value_name = "LOGIN", value_delimiter = ',')]
    pub registry_creds: Vec<String>,
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
    /// Push an image index of all platforms that the registry has after the images: true or false
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", value_name = "BOOL", action = clap::ArgAction::Set)]
    pub manifest: bool,
}
