//! What the comments of a script say of it, and what labels mean.

use std::collections::BTreeSet;
use std::io::{self, Read as _};
use std::path::Path;

use crate::blob::open_regular;
use crate::cli::report::Failure;

/// A header stands at the start of a script; what comes later is not looked at. In bytes.
const LONGEST: u64 = 64 << 10;
/// Most times that a test is repeated.
const MOST_REPEATS: u32 = 10_000;

/// Labels that are wanted, and labels that must not be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    pub with: BTreeSet<String>,
    pub without: BTreeSet<String>,
}

impl Labels {
    /// Reads `linux, !arm64`.
    pub fn parse(text: &str) -> Self {
        let mut labels = Self::default();
        for label in text.split(',').map(str::trim).filter(|label| !label.is_empty()) {
            match label.strip_prefix('!') {
                Some(label) => labels.without.insert(label.to_owned()),
                None => labels.with.insert(label.to_owned()),
            };
        }
        labels
    }

    /// Those of both.
    pub fn and(mut self, other: &Self) -> Self {
        self.with.extend(other.with.iter().cloned());
        self.without.extend(other.without.iter().cloned());
        self
    }

    /// Whether what has these labels is run on a host with those: one of them is the host's, if there are any, none is that
    /// the host must not have, and none is excluded by the host.
    pub fn fit(&self, host: &Self) -> bool {
        let is_wanted = self.with.is_empty() || !self.with.is_disjoint(&host.with);
        is_wanted && self.without.is_disjoint(&host.with) && self.with.is_disjoint(&host.without)
    }

    /// Labels with `separator` between them.
    pub fn joined(&self, separator: &str) -> String {
        let without = self.without.iter().map(|label| format!("!{label}"));
        without.chain(self.with.iter().cloned()).collect::<Vec<_>>().join(separator)
    }
}

/// The labels of this machine: its system and its architecture by both names.
pub fn host_labels() -> Labels {
    let system = if cfg!(target_os = "macos") { "osx" } else { std::env::consts::OS };
    let own = crate::base::Platform::host().architecture;
    Labels { with: [system, std::env::consts::ARCH, &own].map(str::to_owned).into(), ..Labels::default() }
}

/// What the comments of a script say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    pub name: String,
    pub summary: String,
    pub issue: String,
    pub labels: Labels,
    /// How often a test is run, when it says so.
    pub repeat: Option<u32>,
}

impl Header {
    /// Reads the header of a script.
    ///
    /// # Errors
    /// When it cannot be read, or contradicts itself.
    pub fn of_file(path: &Path) -> Result<Self, Failure> {
        let mut text = Vec::new();
        let read = open_regular(path).and_then(|file| file.take(LONGEST).read_to_end(&mut text));
        let cannot = |error: io::Error| Failure::io(format!("cannot read `{}`", path.display()), &error);
        read.map_err(cannot)?;
        Self::parse(&String::from_utf8_lossy(&text)).map_err(|message| {
            Failure::usage(format!("`{}` has a header that is not valid: {message}", path.display()))
        })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut header = Self::default();
        let mut labels = String::new();
        for line in text.lines() {
            let Some((tag, value)) = line.strip_prefix("# ").and_then(|line| line.split_once(':')) else { continue };
            let value = value.trim();
            let field = match tag {
                "NAME" => &mut header.name,
                "SUMMARY" => &mut header.summary,
                "LABELS" => &mut labels,
                "ISSUE" => {
                    header.issue = format!("{} {value}", header.issue).trim().to_owned();
                    continue;
                }
                "REPEAT" if !value.is_empty() => {
                    header.repeat = Some(repeat(value)?);
                    continue;
                }
                _ => continue,
            };
            if !field.is_empty() {
                return Err(format!("`{tag}` is there twice"));
            }
            *field = value.to_owned();
        }
        header.labels = Labels::parse(&labels);
        Ok(header)
    }
}

fn repeat(text: &str) -> Result<u32, String> {
    let count = text.parse().ok().filter(|count| (1..=MOST_REPEATS).contains(count));
    count.ok_or_else(|| format!("`REPEAT: {text}` is no number from 1 to {MOST_REPEATS}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_describe_a_test() {
        let text = "#!/bin/sh\n# SUMMARY: boots: fast\n# LABELS: linux, !arm64,\n# REPEAT: 3\n# ISSUE: a/1\n# ISSUE: b/2\n#NAME: x\nset -e\n";
        let header = Header::parse(text).unwrap();
        assert_eq!((header.name.as_str(), header.summary.as_str()), ("", "boots: fast"));
        assert_eq!((header.repeat, header.issue.as_str()), (Some(3), "a/1 b/2"));
        assert_eq!(header.labels, Labels::parse("linux,!arm64"));
        assert_eq!(Header::parse("# REPEAT:\n# LABELS:\n").unwrap(), Header::default());
        for wrong in ["# SUMMARY: a\n# SUMMARY: b\n", "# REPEAT: 0\n", "# REPEAT: many\n", "# REPEAT: 10001\n"] {
            assert!(Header::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn labels_choose_what_is_run() {
        let rows = [
            ("", "linux", true),
            ("linux", "linux,slow", true),
            ("linux,osx", "linux", true),
            ("osx", "linux", false),
            ("!slow", "linux", true),
            ("!slow", "linux,slow", false),
            ("linux,kmod", "linux,!kmod", false),
        ];
        for (test, host, fits) in rows {
            assert_eq!(Labels::parse(test).fit(&Labels::parse(host)), fits, "{test} on {host}");
        }
    }
}
