//! Arguments about where a system comes from, and how its artifacts are made.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args as Group, ValueEnum as _, ValueHint};

use super::{Boards, Kept, Sbom};

/// A system: where it comes from, and how its artifacts are made.
#[derive(Debug, Default, Group)]
pub struct System {
    #[command(flatten)]
    pub sources: Sources,
    #[command(flatten)]
    pub making: Making,
}

/// Where specs and images come from.
#[derive(Debug, Default, Group)]
pub struct Sources {
    /// Architecture of the system, such as amd64 or arm64 [default: this machine's]
    #[arg(long, value_name = "ARCH")]
    pub arch: Option<String>,
    /// OCI layout, archive of images, or docker-daemon:NAME, to look references up in before cache and registry (repeatable)
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub layout: Vec<PathBuf>,
    /// Cache of blobs and indexes [default: lkit in the user's cache folder]
    #[arg(long, value_name = "DIR", env = "LKIT_CACHE", value_hint = ValueHint::DirPath)]
    pub cache: Option<PathBuf>,
    /// What the cache keeps of layers: all that was fetched, their indexes alone, or nothing (none leaves the disk alone)
    #[arg(long, value_name = "WHAT", value_enum, default_value_t)]
    pub store: Kept,
    /// Most bytes of the cache; what was used least recently goes, but nothing that a live mount uses [default: no limit]
    #[arg(long, value_name = "SIZE", env = "LKIT_CACHE_LIMIT")]
    pub cache_limit: Option<String>,
    /// Use layouts and cache only
    #[arg(long)]
    pub offline: bool,
    /// Resolve every tag again, even those in the cache
    #[arg(long, conflicts_with = "offline")]
    pub pull: bool,
    /// Mirror of a registry, as [REGISTRY=]URL; without a registry, of docker.io; `*` is every one without (repeatable)
    #[arg(long, value_name = "[REGISTRY=]URL")]
    pub mirror: Vec<String>,
    /// Use layer indexes that others published, and read no whole layer to check them. FROM is the repository where lkit looks
    /// for indexes; with `beside` it looks where each image is, in a --layout or in the image's repository (repeatable)
    /// [default: use indexes that lkit made here, that `lkit index pull` brought, or that the lock names, and no others]
    #[arg(long, value_name = "FROM")]
    pub trust_indexes: Vec<String>,
    /// Trust the authorities whose certificates this file has, besides the system's and those in certs.d (repeatable)
    #[arg(long, value_name = "FILE", env = "LKIT_CA", value_hint = ValueHint::FilePath)]
    pub ca: Vec<PathBuf>,
    /// Use the digests that the lock file records, and refuse references that it does not
    #[arg(long)]
    pub locked: bool,
    /// Let specs from URLs read files of this machine, as `source` in `files` does [default: refuse them]
    #[arg(long)]
    pub allow_local_sources: bool,
}

/// How artifacts are made.
#[derive(Debug, Default, Group)]
pub struct Making {
    /// Name of the system [default: the last spec's name]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Show the uncompressed kernel of a compressed one
    #[arg(long)]
    pub decompress_kernel: bool,
    /// Size of disk images, in MiB unless a unit is given [default: as large as they need to be]
    #[arg(long, value_name = "SIZE")]
    pub size: Option<String>,
    /// Add an empty partition of this size or more to disk images, for data that stays: the GPT name is linuxkit-data, and
    /// it takes all that --size leaves [default: none]
    #[arg(long, value_name = "SIZE")]
    pub data_size: Option<String>,
    /// Boot loader of media: systemd-boot=FROM by UEFI, isolinux=FROM by BIOS on ISOs; FROM is a directory (`/…`, `./…`)
    /// or an image that has it (repeatable) [default: lkit]
    #[arg(long, value_name = "LOADER")]
    pub loader: Vec<String>,
    #[command(flatten)]
    pub boards: Boards,
    #[command(flatten)]
    pub sbom: Sbom,
}

impl System {
    /// These options as they are typed.
    pub fn words(&self) -> Vec<OsString> {
        let Self { sources, making } = self;
        [sources.words(), making.words()].concat()
    }
}

impl Sources {
    fn words(&self) -> Vec<OsString> {
        let Self { arch, layout, cache, store, cache_limit, mirror, trust_indexes, ca, .. } = self;
        let kept = store.to_possible_value().filter(|_| *store != Kept::default());
        let values = [
            ("arch", texts(arch.as_slice())),
            ("layout", paths(layout)),
            ("cache", paths(cache.as_slice())),
            ("store", kept.iter().map(|kept| kept.get_name().into()).collect()),
            ("cache-limit", texts(cache_limit.as_slice())),
            ("mirror", texts(mirror)),
            ("trust-indexes", texts(trust_indexes)),
            ("ca", paths(ca)),
        ];
        let flags = [
            ("offline", self.offline),
            ("pull", self.pull),
            ("locked", self.locked),
            ("allow-local-sources", self.allow_local_sources),
        ];
        words(values, flags)
    }
}

impl Making {
    fn words(&self) -> Vec<OsString> {
        let Self { name, decompress_kernel, size, data_size, loader, boards, sbom } = self;
        let format = sbom.sbom_format.and_then(|format| format.to_possible_value());
        let values = [
            ("name", texts(name.as_slice())),
            ("size", texts(size.as_slice())),
            ("data-size", texts(data_size.as_slice())),
            ("loader", texts(loader)),
            ("dtb", texts(&boards.dtb)),
            ("firmware", texts(&boards.firmware)),
            ("sbom-format", format.iter().map(|format| format.get_name().into()).collect()),
            ("sbom-output", texts(sbom.sbom_output.as_slice())),
        ];
        let flags = [
            ("decompress-kernel", *decompress_kernel),
            ("sbom", sbom.sbom),
            ("no-sbom", sbom.no_sbom),
            ("sbom-current-time", sbom.sbom_current_time),
        ];
        words(values, flags)
    }
}

fn texts(values: &[String]) -> Vec<OsString> {
    values.iter().map(OsString::from).collect()
}

fn paths(values: &[PathBuf]) -> Vec<OsString> {
    values.iter().map(OsString::from).collect()
}

/// Options with their values, then those flags that are set.
fn words<const VALUES: usize, const FLAGS: usize>(
    values: [(&str, Vec<OsString>); VALUES],
    flags: [(&str, bool); FLAGS],
) -> Vec<OsString> {
    let word = |name: &str, value: OsString| {
        let mut word = OsString::from(format!("--{name}="));
        word.push(value);
        word
    };
    let values = values.into_iter().flat_map(|(name, values)| values.into_iter().map(move |value| word(name, value)));
    values.chain(flags.into_iter().filter(|(_, on)| *on).map(|(name, _)| format!("--{name}").into())).collect()
}
