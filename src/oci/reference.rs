//! The name of an image, as people write it in a spec and as docker and linuxkit expand it.
//!
//! # Format
//! The grammar of the distribution project's `reference` package: `[host[:port]/]path[:tag][@digest]`, where a first
//! part without dot, colon or `localhost` belongs to the path on `docker.io`, and a path of one part is in `library/`.

use std::fmt;
use std::str::FromStr;

use crate::base::{Digest, ErrorKind, Fault, ParseDigestError};

/// The registry of names that name none.
pub(super) const DOCKER_HUB: &str = "docker.io";
/// Longest registry and path together, in bytes, as registries limit it.
const MAX_NAME: usize = 255;
/// Longest tag, in bytes.
const MAX_TAG: usize = 128;

/// The name of an image in full, however it was written. `Display` writes it so; a tag that was left out stays out,
/// since layouts may name an image with `:latest` and another one without.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// A text that names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseReferenceError {
    /// The registry is no host name with an optional port.
    #[error("`{0}` is not a registry")]
    Registry(String),
    /// A part of the path has letters or separators that no registry takes.
    #[error("`{0}` is not an image name: its parts are lower-case letters and digits, joined by `.`, `_`, `__` or `-`")]
    Path(String),
    /// The tag is not a tag.
    #[error("`{0}` is not a tag: letters, digits, `_`, `.` and `-`, at most 128")]
    Tag(String),
    /// What follows the `@` is not a digest.
    #[error(transparent)]
    Digest(#[from] ParseDigestError),
    /// The whole is too long.
    #[error("an image name has at most {MAX_NAME} characters, this one has {0}")]
    TooLong(usize),
}

impl Fault for ParseReferenceError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Spec
    }
}

impl Reference {
    /// Host and port of the registry; `docker.io` for names that name none.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path in the registry, such as `library/nginx`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag as written; none means [`tag_or_latest`](Self::tag_or_latest) unless there is a digest.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The tag that a registry is asked for.
    pub fn tag_or_latest(&self) -> &str {
        self.tag().unwrap_or("latest")
    }

    /// The digest of manifest or image index; it decides, a tag beside it is a comment.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The same name for what has this digest, whatever the tag means by now.
    #[must_use]
    pub fn pinned(&self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }

    /// The same name with its tag written out; with a digest it needs none.
    #[must_use]
    pub fn tagged(&self) -> Self {
        let tag = self.tag.clone().or_else(|| self.digest.is_none().then(|| self.tag_or_latest().to_owned()));
        Self { tag, ..self.clone() }
    }

    /// The same repository with the tag and digest of `other`, unless this name has a tag or digest of its own.
    #[must_use]
    pub fn or_tag_of(&self, other: &Self) -> Self {
        if self.tag.is_some() || self.digest.is_some() {
            return self.clone();
        }
        Self { tag: other.tag.clone(), digest: other.digest, ..self.clone() }
    }

    /// Whether both name the same image for a registry: a tag that is left out is `latest`.
    pub fn means(&self, other: &Self) -> bool {
        let name = |r: &Self| (r.digest, r.digest.is_none().then(|| r.tag_or_latest().to_owned()));
        (&self.registry, &self.repository) == (&other.registry, &other.repository) && name(self) == name(other)
    }
}

impl FromStr for Reference {
    type Err = ParseReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (text, digest) = match text.split_once('@') {
            Some((text, digest)) => (text, Some(digest.parse()?)),
            None => (text, None),
        };
        let (host, rest) = match text.split_once('/') {
            Some((host, rest)) if is_host(host) => (host, rest),
            _ => (DOCKER_HUB, text),
        };
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag.to_owned())),
            None => (rest, None),
        };
        let registry = if host == "index.docker.io" { DOCKER_HUB } else { host }.to_owned();
        let repository = match registry == DOCKER_HUB && !path.contains('/') {
            true => format!("library/{path}"),
            false => path.to_owned(),
        };
        if !is_registry(&registry) {
            return Err(ParseReferenceError::Registry(registry));
        }
        if !path.split('/').all(is_path_part) {
            return Err(ParseReferenceError::Path(path.to_owned()));
        }
        if let Some(tag) = tag.iter().find(|tag| !is_tag(tag)) {
            return Err(ParseReferenceError::Tag(tag.clone()));
        }
        match registry.len() + 1 + repository.len() {
            length if length > MAX_NAME => Err(ParseReferenceError::TooLong(length)),
            _ => Ok(Self { registry, repository, tag, digest }),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

/// A reference as linuxkit writes it into `metadata` files and compares it: what it takes for a short name of Docker Hub
/// is completed, everything else stays as it was written, also `docker.io/nginx`.
pub fn expanded(text: &str) -> String {
    match text.split('/').collect::<Vec<_>>()[..] {
        [name] => format!("{DOCKER_HUB}/library/{name}"),
        [first, _] if !first.contains(['.', ':']) && first != "localhost" => format!("{DOCKER_HUB}/{text}"),
        _ => text.to_owned(),
    }
}

/// Whether the first part of a name is a registry rather than a part of the path.
fn is_host(part: &str) -> bool {
    part == "localhost" || part.contains(['.', ':']) || part.bytes().any(|b| b.is_ascii_uppercase())
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`.
pub(super) fn is_registry(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => match (address.parse::<std::net::Ipv6Addr>(), port.strip_prefix(':')) {
            (Ok(_), port_number) if port.is_empty() || port_number.is_some() => (None, port_number),
            _ => return false,
        },
        None => match text.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(text), None),
        },
    };
    let port_is_good = |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    host.is_none_or(|host| host.split('.').all(is_label)) && port.is_none_or(port_is_good)
}

/// Runs of lower-case letters and digits, joined by one `.`, one or two `_`, or any number of `-`.
fn is_path_part(part: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else { return false };
    let joints = part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()).filter(|joint| !joint.is_empty());
    let mut joints = joints.into_iter();
    word(first) && word(last) && joints.all(|j| matches!(j, "." | "_" | "__") || j.bytes().all(|b| b == b'-'))
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= MAX_TAG
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn short_names_are_expanded_as_docker_does() {
        let rows = [
            ("nginx", "docker.io/library/nginx"),
            ("nginx:1.27", "docker.io/library/nginx:1.27"),
            ("linuxkit/init:x", "docker.io/linuxkit/init:x"),
            ("docker.io/nginx", "docker.io/library/nginx"),
            ("index.docker.io/nginx", "docker.io/library/nginx"),
            ("a/b/c", "docker.io/a/b/c"),
            ("localhost/a", "localhost/a"),
            ("localhost:5000/a:1", "localhost:5000/a:1"),
            ("127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b"),
            ("[::1]:5000/a", "[::1]:5000/a"),
            ("gcr.io/a__b/c-d.e--f", "gcr.io/a__b/c-d.e--f"),
            ("Host/a", "Host/a"),
        ];
        for (text, expanded) in rows {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), expanded);
        }
        for (text, name) in [("nginx", "docker.io/library/nginx"), ("q.io/a:1", "q.io/a:1")] {
            let reference: Reference = format!("{text}@{DIGEST}").parse().unwrap();
            assert_eq!(reference.to_string(), format!("{name}@{DIGEST}"));
            assert_eq!(reference.digest().unwrap().to_string(), DIGEST);
        }
    }

    #[test]
    fn linuxkit_completes_only_short_names() {
        let rows = [
            ("nginx@sha256:00", "docker.io/library/nginx@sha256:00"),
            ("linuxkit/init:x", "docker.io/linuxkit/init:x"),
            ("docker.io/nginx:1", "docker.io/nginx:1"),
            ("localhost/a", "localhost/a"),
            ("localhost:5000/a:1", "localhost:5000/a:1"),
            ("a/b/c", "a/b/c"),
        ];
        for (text, full) in rows {
            assert_eq!(expanded(text), full);
        }
    }

    #[test]
    fn an_expanded_name_expands_to_itself() {
        for text in ["nginx", "a/b:c", "localhost:1/x", "nginx@sha512:00"] {
            let Ok(once) = text.parse::<Reference>() else { continue };
            assert_eq!(once.to_string().parse(), Ok(once));
        }
    }

    #[test]
    fn what_names_no_image_is_refused() {
        let long = "a".repeat(300);
        let tag = format!("a:{}", "t".repeat(129));
        let rows = [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            "A",
            "a/B",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a b",
            "a:",
            "a:-x",
            "a:b:c",
            "a:b/c",
            "a@",
            "a@sha256:00",
            "../etc",
            "a/../b",
            "a/./b",
            "a\nb",
            "a?b",
            "a#b",
            "x.io:99999/a",
            "x.io:/a",
            "-x.io/a",
            "x..io/a",
            "[::1/a",
            "[zz]/a",
            "[::1]5/a",
            "user@x.io/a",
            "http://x.io/a",
            "a%2fb",
            "é",
            &long,
            &tag,
        ];
        for text in rows {
            assert!(text.parse::<Reference>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_tag_that_is_left_out_means_latest() {
        let parse = |text: &str| text.parse::<Reference>().unwrap();
        assert!(parse("a").means(&parse("a:latest")) && !parse("a").means(&parse("a:1")));
        assert!(parse(&format!("a:1@{DIGEST}")).means(&parse(&format!("a@{DIGEST}"))));
        assert!(!parse(&format!("a@{DIGEST}")).means(&parse("a")));
        assert_ne!(parse("a"), parse("a:latest"));
    }
}
