//! Arguments as they are typed.

mod boards;
mod deferred;
mod devices;
mod enclave;
mod metadata;
mod pkg;
mod push;
mod sbom;
mod serve;
mod sharing;
mod sources;
mod test;
mod watching;

use std::path::PathBuf;

use clap::{Args as Group, Parser, Subcommand, ValueEnum, ValueHint};

pub use self::boards::Boards;
pub use self::deferred::Deferred;
pub use self::devices::Devices;
pub use self::enclave::{EifApplication, EifImages, EifSignature, Measure};
pub use self::metadata::{Metadata, MetadataCommand, MetadataCreate};
pub use self::pkg::{BuilderTask, Pkg, PkgBuild, PkgBuilder, PkgCommand, PkgNaming, PkgPlace};
pub use self::push::{
    AwsAccount, Push, PushAws, PushAzure, PushCommand, PushGcp, PushOpenStack, PushRegistry, PushS3, Pushing,
};
pub use self::sbom::{Sbom, SbomFormat};
pub use self::serve::Serve;
pub use self::sharing::{
    ArchiveFormat, Cache, CacheCommand, CacheExport, CacheImport, CachePull, CachePush, Images, Index, IndexCommand,
};
pub use self::sources::{Making, Sources, System};
pub use self::test::Test;
pub use self::watching::Watching;
use crate::blob::Keep;
use crate::output;

/// Turn a LinuxKit YAML spec into a bootable system without building it.
#[derive(Debug, Parser)]
#[command(name = "lkit", version, propagate_version = true, after_help = EXIT_CODES)]
pub struct Args {
    /// Say more (twice: everything)
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// Say nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 usage, 3 spec invalid, 4 image, lock or URL not found or unreachable, 5 content corrupt, 130 interrupted;
of diff as of diff(1): 0 the same, 1 different, 2 failed or usage, those above as elsewhere";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show a system as files: kernel, initrd.img, cmdline, every other format, and the root tree
    Mount(Deferred<Mount>),
    /// End a mount
    #[command(visible_alias = "unmount")]
    Umount(Deferred<Umount>),
    /// Tell what a mount has done so far: bytes served, decoded, fetched, written
    Stats(Deferred<Stats>),
    /// Serve artifacts over networks and sockets, without a mount: nothing is laid out before a client asks for it
    Serve(Deferred<Serve>),
    /// Write artifacts as files under LinuxKit's names
    Build(Deferred<Build>),
    /// Boot a spec, a mounted directory, or a kernel, disk or ISO in a virtual machine
    Run(Deferred<Box<Run>>),
    /// Tell what a spec comes to: images, layers, sizes, artifacts
    Inspect(Deferred<Inspect>),
    /// Tell what an AWS Nitro Enclave measures when it starts from the format eif: PCR0, PCR1, PCR2
    Measure(Deferred<Measure>),
    /// Tell what differs between two systems or two locks: exit code 0 nothing, 1 something, above 1 failed
    Diff(Deferred<Diff>),
    /// Record the digest of every reference beside the spec
    Lock(Deferred<Lock>),
    /// Share layer indexes through registries, so that others need not fetch layers whole
    Index(Deferred<Index>),
    /// Put a system into a cloud, streamed, and make an image of it there
    Push(Deferred<Push>),
    /// Look at the cache, fill it, share it, or clean it
    Cache(Deferred<Cache>),
    /// Name, build and push LinuxKit packages
    Pkg(Deferred<Pkg>),
    /// Make the ISO that hands a machine its metadata
    Metadata(Deferred<Metadata>),
    /// Run regression tests as LinuxKit writes them: folders with `test.sh`, in groups, chosen by labels
    Test(Deferred<Test>),
    /// Look at this machine: what works, what is missing, and how to mend it
    Doctor(Deferred<Doctor>),
    /// Print the version
    Version,
    /// Print what a shell needs to complete our commands
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write manual pages
    Man {
        /// Directory to write to
        #[arg(value_hint = ValueHint::DirPath)]
        dir: PathBuf,
    },
}

/// What the cache keeps of layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Kept {
    #[default]
    Full,
    Index,
    None,
}

impl From<Kept> for Keep {
    fn from(kept: Kept) -> Self {
        match kept {
            Kept::Full => Self::Full,
            Kept::Index => Self::Index,
            Kept::None => Self::None,
        }
    }
}

/// The file system of a root on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RootFs {
    Squashfs,
    Erofs,
}

impl From<RootFs> for output::RootFs {
    fn from(root: RootFs) -> Self {
        match root {
            RootFs::Squashfs => Self::Squashfs,
            RootFs::Erofs => Self::Erofs,
        }
    }
}

/// What is fetched before it is read.
#[derive(Debug, Default, Group)]
pub struct Reads {
    /// Fetch what this read list names before it is read, of layers that are not here [default: the list that the lock has
    /// (with --locked), or that was pushed with the layer indexes in use]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub reads: Option<PathBuf>,
    /// Write a read list at the end: which bytes of which layers were decoded
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub record: Option<PathBuf>,
}

#[derive(Debug, Group)]
pub struct Mount {
    /// Specs (files, `-`, or URLs; merged in order), then the directory to mount on
    #[arg(required = true, num_args = 1.., value_names = ["SPEC", "DIR"])]
    pub paths: Vec<PathBuf>,
    /// Show the files of this image alone, in the place of specs
    #[arg(long, value_name = "REFERENCE", conflicts_with_all = [
        "name", "decompress_kernel", "size", "loader", "locked", "allow_local_sources", "artifact_mode", "root",
        "eif_application", "data_size", "no_wait",
        "sbom", "no_sbom", "sbom_format", "sbom_output", "sbom_current_time",
    ])]
    pub image: Option<String>,
    /// Show an image for an enclave, NAME.eif, with --image as its application: this image has its kernel, init and nsm.ko
    #[arg(long, value_name = "REFERENCE", requires = "image")]
    pub kernel_image: Option<String>,
    /// Serve in the foreground until interrupted
    #[arg(short, long)]
    pub foreground: bool,
    /// Return as soon as the kernel and the command line can be read. A program that opens another file waits until lkit has
    /// indexed all layers [default: return then]
    #[arg(long)]
    pub no_wait: bool,
    /// File for the server's messages
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Let other users in, as the modes of the files in the root allow; artifacts, which hold all of these files, stay
    /// readable for their owner alone (as an ordinary user this needs `user_allow_other` in /etc/fuse.conf)
    #[arg(long)]
    pub allow_other: bool,
    /// Run no programs in the mount
    #[arg(long)]
    pub no_exec: bool,
    /// Show the small initrd NAME-FS-initrd.img, too, with which the kernel starts from a disk with the root
    #[arg(long, value_name = "FS", value_enum)]
    pub root: Option<RootFs>,
    /// Permissions of artifacts, in octal [default: 0444; with --allow-other 0400]
    #[arg(long, value_name = "MODE")]
    pub artifact_mode: Option<String>,
    #[command(flatten)]
    pub eif: EifApplication,
    #[command(flatten)]
    pub watching: Watching,
    #[command(flatten)]
    pub reads: Reads,
    #[command(flatten)]
    pub system: System,
}

#[derive(Debug, Group)]
pub struct Umount {
    /// Directories to unmount
    #[arg(required = true, value_name = "DIR")]
    pub dirs: Vec<PathBuf>,
}

#[derive(Debug, Group)]
pub struct Stats {
    /// Directory that `lkit mount` shows a system in
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Group)]
pub struct Build {
    /// Specs (files, `-`, or URLs; merged in order)
    #[arg(required_unless_present = "kernel_image", value_name = "SPEC")]
    pub specs: Vec<PathBuf>,
    /// Format to write (repeatable) [default: the spec's `outputs`, else kernel+initrd; with -o: tar]
    #[arg(short, long = "format", value_name = "FORMAT", value_delimiter = ',')]
    pub formats: Vec<String>,
    /// Directory to write to
    #[arg(long, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
    /// Write the one file of a format here; `-` is standard output
    #[arg(short, long, alias = "o", value_name = "FILE", conflicts_with = "dir")]
    pub output: Option<PathBuf>,
    /// Permissions of the files, in octal [default: what the umask leaves of 0666]
    #[arg(long, value_name = "MODE")]
    pub artifact_mode: Option<String>,
    /// Compress what is written of FORMAT, or of all formats, with a level such as zstd:19: the initrd of kernel+initrd with
    /// gzip or zstd; raw disks and ISOs, whose names then end in .gz, .xz or .zst, and the blocks of kernel+squashfs, with
    /// gzip, xz or zstd; the blocks of kernel+erofs with lz4 or zstd (repeatable) [default: leave it as it is]
    #[arg(long, value_name = "[FORMAT=]ALGORITHM[:LEVEL]")]
    pub compress: Vec<String>,
    /// Write a block map beside each raw disk, such as NAME-efi.img.bmap. With the map bmaptool writes only those blocks to a
    /// device that have data, and checks them by the checksums in it [default: write none]
    #[arg(long, conflicts_with_all = ["output", "digest", "dry_run"])]
    pub bmap: bool,
    /// Compress initrds that are files of their own, and squashfs, with gzip as linuxkit does, unless --compress says how
    #[arg(long, hide = true)]
    pub as_linuxkit: bool,
    #[command(flatten)]
    pub eif: EifApplication,
    #[command(flatten)]
    pub images: EifImages,
    #[command(flatten)]
    pub signature: EifSignature,
    /// Fetch what this read list names before it is read, of layers that are not here [default: nothing]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub reads: Option<PathBuf>,
    /// Print the resolved spec and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print each artifact's SHA-256 and write nothing
    #[arg(long, conflicts_with = "dry_run")]
    pub digest: bool,
    /// Print what was written as JSON
    #[arg(long, conflicts_with = "dry_run")]
    pub json: bool,
    /// Accepted for linuxkit's sake: nothing is built, so an earlier build saves nothing
    #[arg(long, hide = true, conflicts_with = "pull")]
    pub input_tar: Option<PathBuf>,
    /// Take the images that the docker daemon has from it, before layouts, cache and registries
    #[arg(long)]
    pub docker: bool,
    #[command(flatten)]
    pub system: System,
}

#[derive(Debug, Group)]
pub struct Run {
    /// The monitor if not the default (qemu, hyperkit, cloud-hypervisor, firecracker, crosvm, vfkit), then specs, a mounted directory, a file in it, or the prefix of files
    #[arg(required = true, num_args = 1.., value_names = ["VMM", "SPEC|DIR|FILE|PREFIX"])]
    pub what: Vec<PathBuf>,
    /// Memory in MiB, or with a unit
    #[arg(long, default_value = "1024", value_name = "SIZE")]
    pub mem: String,
    /// Number of processors
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub cpus: u32,
    /// Accelerator: auto, kvm, hvf, tcg
    #[arg(long, default_value = "auto", value_name = "NAME")]
    pub accel: String,
    /// Publish a port: [IP:]HOST:GUEST[/tcp|udp] (repeatable)
    #[arg(long, short = 'p', value_name = "PORTS")]
    pub publish: Vec<String>,
    /// Start from a disk of the spec: artifact=FORMAT, such as artifact=raw-efi, read straight into the guest where it can
    /// be, else (or with via=mount) out of a mount. Or attach a disk: file=PATH,size=SIZE,format=FORMAT (repeatable); with a
    /// size it is made when it is missing, without a file in the directory of --state, and `,,` stands for a comma in the
    /// path [default format: what the end of the name says, else raw; without a file qcow2 for QEMU]
    #[arg(long, value_name = "DISK")]
    pub disk: Vec<String>,
    /// Directory for what the machine keeps, such as its MAC address [default: none, it keeps nothing]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Start from the ISO instead of kernel and initrd
    #[arg(long)]
    pub iso: bool,
    /// Start from a disk with the root in this file system, read as the guest touches it, instead of an initrd with all
    /// of it: the kernel gets a small initrd that mounts it, with what the guest writes in memory
    #[arg(long, value_name = "FS", value_enum, conflicts_with_all = ["iso", "initrd"])]
    pub root: Option<RootFs>,
    /// Start by UEFI instead of BIOS, as files with `-efi` in their name and all media for arm64 do anyway
    #[arg(long)]
    pub uefi: bool,
    /// The UEFI firmware [default: where Debian's packages put it]
    #[arg(long, value_name = "PATH")]
    pub fw: Option<PathBuf>,
    /// Initrd that finds the root, for a root such as N-squashfs.img and a kernel without drivers for it
    #[arg(long, value_name = "PATH")]
    pub initrd: Option<PathBuf>,
    /// The QEMU program
    #[arg(long, value_name = "PATH")]
    pub qemu: Option<PathBuf>,
    /// The HyperKit program
    #[arg(long, value_name = "PATH")]
    pub hyperkit: Option<PathBuf>,
    /// Print the commands that would be run, and make nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub devices: Devices,
    #[command(flatten)]
    pub reads: Reads,
    #[command(flatten)]
    pub system: System,
}

#[derive(Debug, Group)]
pub struct Inspect {
    /// Specs (files, `-`, or URLs; merged in order)
    #[arg(required = true, value_name = "SPEC")]
    pub specs: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// List the root tree
    #[arg(long)]
    pub tree: bool,
    /// Tell the largest files of the root, too: as many as --largest=N says [default: 10]
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "10",
          conflicts_with = "tree")]
    pub largest: Option<usize>,
    /// Tell of the small initrd that starts the system from a disk with the root, too, or why it cannot be made
    #[arg(long, value_name = "FS", value_enum)]
    pub root: Option<RootFs>,
    /// Tell where the bytes of this artifact come from and nothing else: generated, zeros, or a range of a layer
    #[arg(long, value_name = "ARTIFACT", conflicts_with_all = ["tree", "largest"])]
    pub extents: Option<String>,
    #[command(flatten)]
    pub system: System,
}

#[derive(Debug, Group)]
pub struct Diff {
    /// A spec (a file, `-`, or a URL), a directory that `lkit mount` shows a system in, or a lock (`.lock`)
    #[arg(value_name = "A")]
    pub before: PathBuf,
    /// What it is compared with: a spec or directory, or another lock
    #[arg(value_name = "B")]
    pub after: PathBuf,
    /// Read files of one size that come from different layers or mounts [default: tell that they may differ]
    #[arg(long)]
    pub content: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub system: System,
}

#[derive(Debug, Group)]
pub struct Lock {
    /// Specs (files; merged in order); the lock stands beside the last one
    #[arg(required = true, value_name = "SPEC")]
    pub specs: Vec<PathBuf>,
    /// Keep this read list in the lock, for --locked [default: the one that is in the lock stays]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub reads: Option<PathBuf>,
    #[command(flatten)]
    pub sources: Sources,
}

#[derive(Debug, Group)]
pub struct Doctor {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Cache of blobs and indexes [default: lkit in the user's cache folder]
    #[arg(long, value_name = "DIR", env = "LKIT_CACHE")]
    pub cache: Option<PathBuf>,
    /// Run a guest of a few instructions under KVM, and do nothing else
    #[arg(long, hide = true)]
    pub probe_kvm: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn arguments_are_consistent() {
        super::Args::command().debug_assert();
    }
}
