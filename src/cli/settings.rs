//! Arguments as they are meant: defaults filled in, texts parsed, contradictions refused.

use std::path::{Path, PathBuf};

use super::report::Failure;
use super::{args, bill, loader};
use crate::base::{MIB, Platform, parse_size, shown_url};
use crate::oci::{CredentialPlace, Credentials, Mirror, Pull, Trust, daemon_image};
use crate::output::RootFs;
use crate::serve::Interrupts;
use crate::system::{IndexPlace, Input, LocalSources, Options, Origins, Prefetch, name_of, read_list};

/// Where specs and images come from, and how artifacts are made.
pub struct Settings {
    /// Where all of it comes from.
    pub origins: Origins,
    /// What is made of it.
    pub options: Options,
}

impl Settings {
    /// What these options of a system mean.
    ///
    /// # Errors
    /// When a text does not parse, or no cache directory is known.
    pub fn new(system: args::System) -> Result<Self, Failure> {
        let args::System { sources, making } = system;
        let Self { origins, .. } = Self::of_sources(sources)?;
        let options = options(making)?;
        options.loaders.check(&origins.platform)?;
        let of_boards = [("--dtb", options.device_trees.is_empty()), ("--firmware", options.firmware.is_empty())];
        let given = of_boards.into_iter().find(|(_, is_empty)| !is_empty);
        if let Some((name, _)) = given.filter(|_| origins.platform.architecture != "arm64") {
            let message = format!("`{name}` is for boards with arm64 processors, not for {}", origins.platform);
            return Err(Failure::usage(message).hint("add `--arch arm64`, or leave it out"));
        }
        Ok(Self { origins, options })
    }

    /// What options without those of artifacts mean.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn of_sources(sources: args::Sources) -> Result<Self, Failure> {
        let platform = match &sources.arch {
            None => Platform::host(),
            Some(text) => text.parse().map_err(|e| Failure::usage(format!("--arch: {e}")))?,
        };
        let origins = Origins {
            platform,
            docker: docker_socket(sources.layout.iter().any(|layout| daemon_image(layout).is_some()))?,
            layouts: sources.layout,
            keep: sources.store.into(),
            cache_limit: sources.cache_limit.as_deref().map(cache_limit).transpose()?,
            pull: match (sources.offline, sources.pull) {
                (true, _) => Pull::Never,
                (_, true) => Pull::Always,
                _ => Pull::Missing,
            },
            mirrors: mirrors(&sources.mirror)?,
            credentials: credentials(),
            trusted_indexes: trusted_indexes(&sources.trust_indexes)?,
            trust: trust(sources.ca)?,
            locked: sources.locked,
            local_sources: match sources.allow_local_sources {
                true => LocalSources::OfAllSpecs,
                false => LocalSources::OfLocalSpecs,
            },
            home: variable("HOME"),
            ending: Interrupts::ending(),
            ..Origins::new(match sources.store {
                args::Kept::None => PathBuf::new(),
                args::Kept::Full | args::Kept::Index => cache_dir(sources.cache)?,
            })
        };
        Ok(Self { origins, options: Options::default() })
    }

    /// The same for a root on a disk.
    pub fn with_root(self, root: Option<args::RootFs>) -> Self {
        Self { options: Options { root: root.map(RootFs::from), ..self.options }, ..self }
    }

    /// The same with a read list from a file.
    ///
    /// # Errors
    /// When the file is not a read list.
    pub fn with_reads(mut self, reads: Option<&Path>) -> Result<Self, Failure> {
        if let Some(path) = reads {
            self.origins.prefetch = Prefetch::Listed(read_list(path)?);
        }
        Ok(self)
    }

    /// The same where images of the docker daemon come first, if `first` says so.
    ///
    /// # Errors
    /// When the daemon is no socket of this machine.
    pub fn with_docker(mut self, first: bool) -> Result<Self, Failure> {
        if first {
            self.origins.docker = docker_socket(true)?;
            self.origins.docker_first = true;
        }
        Ok(self)
    }

    /// What the names of the artifacts of these specs begin with.
    pub fn name(&self, inputs: &[Input]) -> String {
        self.options.name.clone().unwrap_or_else(|| name_of(inputs))
    }
}

/// How artifacts are made.
fn options(making: args::Making) -> Result<Options, Failure> {
    Ok(Options {
        name: making.name.map(checked_name).transpose()?,
        disk_size: making.size.as_deref().map(|size| disk_size("--size", size)).transpose()?,
        data_size: making.data_size.as_deref().map(|size| disk_size("--data-size", size)).transpose()?,
        decompress_kernel: making.decompress_kernel,
        loaders: loader::parse(&making.loader)?,
        bill: bill::options(making.sbom)?,
        device_trees: making.boards.dtb,
        firmware: making
            .boards
            .firmware
            .iter()
            .map(|from| loader::origin("--firmware", from))
            .collect::<Result<_, _>>()?,
        ..Options::default()
    })
}

/// A path in the environment, unless it is empty.
fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// What `docker login` and `podman login` keep, where both look for it; what a variable names comes first.
pub fn credentials() -> Credentials {
    let file = |dir: Option<PathBuf>, below: &str| dir.map(|dir| CredentialPlace::File(dir.join(below)));
    let text = std::env::var("DOCKER_AUTH_CONFIG").ok();
    let docker_config = variable("DOCKER_CONFIG");
    let docker_home = variable("HOME").filter(|_| docker_config.is_none()).map(|home| home.join(".docker"));
    let places = [
        text.map(|text| CredentialPlace::Text("DOCKER_AUTH_CONFIG", text)),
        variable("REGISTRY_AUTH_FILE").map(CredentialPlace::File),
        file(docker_config, "config.json"),
        file(variable("XDG_RUNTIME_DIR"), "containers/auth.json"),
        file(config_home(), "containers/auth.json"),
        file(docker_home, "config.json"),
    ];
    Credentials::of(places.into_iter().flatten().collect())
}

/// Whose layer indexes are trusted.
fn trusted_indexes(texts: &[String]) -> Result<Vec<IndexPlace>, Failure> {
    let place = |text: &String| match text.as_str() {
        "beside" => Ok(IndexPlace::Beside),
        text => text
            .parse()
            .map(|repository| IndexPlace::In(Box::new(repository)))
            .map_err(|error| Failure::usage(format!("--trust-indexes: `{text}` is no repository: {error}"))),
    };
    texts.iter().map(place).collect()
}

/// The certificates that are named, and the folders where docker and podman look for those of a registry.
fn trust(files: Vec<PathBuf>) -> Result<Trust, Failure> {
    let home = config_home().map(|dir| dir.join("containers/certs.d"));
    let system = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from);
    let trust = Trust { files, folders: home.into_iter().chain(system).collect() };
    trust.check().map_err(|error| Failure::usage(format!("--ca: {error}")))?;
    Ok(trust)
}

/// Where the docker daemon listens; `is_asked` when something is to come from it.
fn docker_socket(is_asked: bool) -> Result<PathBuf, Failure> {
    let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    match host.as_deref().map(|host| host.strip_prefix("unix://").ok_or(host)) {
        Some(Ok(path)) => Ok(path.into()),
        Some(Err(host)) if is_asked => {
            let message = format!("DOCKER_HOST: `{}` is no socket of this machine", shown_url(host));
            Err(Failure::usage(message).hint("set it to `unix://PATH`, or copy the image with `docker save`"))
        }
        _ => Ok("/var/run/docker.sock".into()),
    }
}

/// Where the user's settings are (XDG Base Directory Specification).
fn config_home() -> Option<PathBuf> {
    variable("XDG_CONFIG_HOME").or_else(|| variable("HOME").map(|home| home.join(".config")))
}

fn mirrors(texts: &[String]) -> Result<Vec<Mirror>, Failure> {
    let mirrors = texts.iter().map(|text| text.parse());
    mirrors.collect::<Result<_, _>>().map_err(|error| Failure::usage(format!("--mirror: {error}")))
}

/// The cache: as given, else `lkit` in the user's cache folder (XDG Base Directory Specification). Services of the system
/// have no home; those of root keep it in `/var/cache` (Filesystem Hierarchy Standard, 5.5).
pub fn cache_dir(given: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home =
        || absolute("HOME").map(|home| home.join(if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" }));
    let system = || rustix::process::geteuid().is_root().then(|| PathBuf::from("/var/cache"));
    given.or_else(|| absolute("XDG_CACHE_HOME").or_else(home).or_else(system).map(|dir| dir.join("lkit"))).ok_or_else(
        || Failure::usage("no cache folder is known, since HOME is not set").hint("name one with `--cache DIR`"),
    )
}

fn checked_name(name: String) -> Result<String, Failure> {
    if name.is_empty() || name.contains(['/', '\0']) || name.starts_with('.') {
        return Err(Failure::usage(format!("--name: `{name}` cannot begin a file name")));
    }
    Ok(name)
}

fn cache_limit(text: &str) -> Result<u64, Failure> {
    parse_size(text, 1)
        .ok_or_else(|| Failure::usage(format!("--cache-limit: `{text}` is no size, such as `500M` or `20G`")))
}

fn disk_size(option: &str, text: &str) -> Result<u64, Failure> {
    let size = parse_size(text, MIB).filter(|size| *size > 0 && size % MIB == 0);
    size.ok_or_else(|| Failure::usage(format!("{option}: `{text}` is no size in whole MiB, such as `1024` or `2G`")))
}

/// Permissions in octal: `0444`, `444` or `0o444`.
///
/// # Errors
/// When the text is not a mode, or asks for more than permissions, such as a set-user-ID bit.
pub fn artifact_mode(text: &str) -> Result<u16, Failure> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let is_octal = (1..=4).contains(&digits.len()) && digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
    let mode = u16::from_str_radix(digits, 8).ok().filter(|mode| is_octal && *mode <= 0o777);
    let wrong = || Failure::usage(format!("--artifact-mode: `{text}` is no file mode"));
    mode.ok_or_else(|| wrong().hint("write the permissions in octal, from `0000` to `0777`, such as `0444`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal_and_permissions_alone() {
        for (text, mode) in [("0444", 0o444), ("444", 0o444), ("0o444", 0o444), ("0", 0), ("0777", 0o777)] {
            assert_eq!(artifact_mode(text).unwrap(), mode, "{text}");
        }
        for text in ["", "0o", "888", "0x1ff", "+444", "1444", "4755", "00444", "a=r", "0o0o4", "4 4"] {
            assert_eq!(artifact_mode(text).unwrap_err().kind, crate::base::ErrorKind::Usage, "{text}");
        }
    }

    #[test]
    fn sizes_and_names_are_checked() {
        assert_eq!(disk_size("--size", "1024").unwrap(), 1 << 30);
        assert!(disk_size("--size", "0").is_err() && disk_size("--size", "1000B").is_err());
        assert!(checked_name("a/b".to_owned()).is_err() && checked_name("ok".to_owned()).is_ok());
    }
}
