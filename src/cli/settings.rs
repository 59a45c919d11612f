//! Arguments as they are meant: defaults filled in, texts parsed, contradictions told.

use std::path::{Path, PathBuf};

use super::args;
use super::loader::Loaders;
use super::report::Failure;
use crate::base::{MIB, Platform, is_url, parse_size, url_file_name};

/// Where specs and images come from, and how artifacts are made.
pub struct Settings {
    /// Platform of the system.
    pub platform: Platform,
    /// Layouts, in the order they are looked at.
    pub layouts: Vec<PathBuf>,
    /// Cache directory.
    pub cache: PathBuf,
    /// Nothing but layouts and cache.
    pub offline: bool,
    /// Resolve cached tags again.
    pub pull: bool,
    /// Mirrors as typed.
    pub mirrors: Vec<String>,
    /// Only what the lock records.
    pub locked: bool,
    /// Name of the system.
    pub name: String,
    /// The kernel is shown uncompressed.
    pub decompress_kernel: bool,
    /// Size of disks in bytes; as small as they can be without one.
    pub disk_size: Option<u64>,
    /// Boot loaders in the place of our own.
    pub loaders: Loaders,
    /// Which specs may name files of this machine.
    pub local_sources: LocalSources,
}

/// Which specs may name files of this machine, to be read into the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalSources {
    /// Those that are files or standard input.
    OfLocalSpecs,
    /// Those from URLs, too.
    OfAllSpecs,
}

impl Settings {
    /// What `sources` mean for a system of these specs.
    ///
    /// # Errors
    /// When a text does not parse, or no cache directory is known.
    pub fn new(sources: args::Sources, specs: &[PathBuf]) -> Result<Self, Failure> {
        let platform = match &sources.arch {
            None => Platform::host(),
            Some(text) => text.parse().map_err(|e| Failure::usage(format!("--arch: {e}")))?,
        };
        Ok(Self {
            platform,
            layouts: sources.layout,
            cache: cache_dir(sources.cache)?,
            offline: sources.offline,
            pull: sources.pull,
            mirrors: sources.mirror,
            locked: sources.locked,
            name: sources.name.map_or_else(|| Ok(name_of(specs)), checked_name)?,
            decompress_kernel: sources.decompress_kernel,
            disk_size: sources.size.as_deref().map(disk_size).transpose()?,
            loaders: Loaders::parse(&sources.loader)?,
            local_sources: match sources.allow_local_sources {
                true => LocalSources::OfAllSpecs,
                false => LocalSources::OfLocalSpecs,
            },
        })
    }
}

/// The cache: as given, else `lkit` in the user's cache folder (XDG Base Directory Specification).
pub fn cache_dir(given: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home =
        || absolute("HOME").map(|home| home.join(if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" }));
    given.or_else(|| absolute("XDG_CACHE_HOME").or_else(home).map(|dir| dir.join("lkit"))).ok_or_else(|| {
        Failure::usage("no cache folder is known, since HOME is not set").hint("name one with `--cache DIR`")
    })
}

/// The stem of the last spec, and `linuxkit` for standard input and URLs without a path.
pub fn name_of(specs: &[PathBuf]) -> String {
    let last = specs.last().map_or(Path::new("-"), |path| path.as_path());
    let url = last.to_str().filter(|text| is_url(text));
    let name = url.map_or(last, |url| Path::new(url_file_name(url)));
    let stem = name.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    stem.filter(|stem| stem != "-").unwrap_or_else(|| "linuxkit".to_owned())
}

fn checked_name(name: String) -> Result<String, Failure> {
    if name.is_empty() || name.contains(['/', '\0']) || name.starts_with('.') {
        return Err(Failure::usage(format!("--name: `{name}` cannot begin a file name")));
    }
    Ok(name)
}

fn disk_size(text: &str) -> Result<u64, Failure> {
    let size = parse_size(text, MIB).filter(|size| *size > 0 && size % MIB == 0);
    size.ok_or_else(|| Failure::usage(format!("--size: `{text}` is no size in whole MiB, such as `1024` or `2G`")))
}

/// Permissions in octal: `0444`, `444` or `0o444`.
///
/// # Errors
/// When a text is none, or asks for more than permissions, such as a set-user-ID bit.
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
    fn a_build_is_named_after_its_last_spec() {
        let rows = [
            (vec!["a.yml", "dir/b.c.yaml"], "b.c"),
            (vec!["-"], "linuxkit"),
            (vec!["http://host/x/y.yml"], "y"),
            (vec!["https://user:pw@host/x/y.yml?sig=a/b"], "y"),
            (vec!["https://user:pw@host"], "linuxkit"),
        ];
        for (specs, name) in rows {
            assert_eq!(name_of(&specs.into_iter().map(PathBuf::from).collect::<Vec<_>>()), name);
        }
    }

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
        assert_eq!(disk_size("1024").unwrap(), 1 << 30);
        assert!(disk_size("0").is_err() && disk_size("1000B").is_err());
        assert!(checked_name("a/b".to_owned()).is_err() && checked_name("ok".to_owned()).is_ok());
    }
}
