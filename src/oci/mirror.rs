//! Mirrors: servers that are asked before the registry itself.

use std::str::FromStr;

use super::reference::{DOCKER_HUB, is_registry};
use crate::base::{is_url, shown_url};

/// A server that has images of a registry, as in linuxkit's `--mirror`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// The registry it stands for, such as `docker.io`; `*` is every one that has no mirror of its own.
    pub registry: String,
    /// Where it is.
    pub endpoint: Endpoint,
}

/// A server that speaks the registry protocol.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Host and port.
    pub host: String,
    /// How it is spoken with.
    pub scheme: Scheme,
}

/// How a server is spoken with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// By TLS.
    Https,
    /// In plain text.
    Http,
    /// By TLS, or in plain text where it does not know that.
    Either,
}

/// A text that names no mirror.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a mirror, such as `docker.io=http://127.0.0.1:5000`")]
pub struct ParseMirrorError(String);

impl Endpoint {
    /// The registry `host` itself: https, and on the loopback interface plain http where that is not spoken, as docker does.
    pub(super) fn of_registry(host: &str) -> Self {
        Self { host: host.to_owned(), scheme: if is_loopback(host) { Scheme::Either } else { Scheme::Https } }
    }
}

/// What stands for every registry that has no mirror of its own.
const EVERY: &str = "*";

impl Mirror {
    /// The mirrors of a registry, in the order in which they are asked.
    pub(super) fn of<'a>(mirrors: &'a [Self], registry: &'a str) -> impl Iterator<Item = &'a Self> {
        let has_own = mirrors.iter().any(|mirror| mirror.registry == registry);
        let meant = if has_own { registry } else { EVERY };
        mirrors.iter().filter(move |mirror| mirror.registry == meant)
    }

    /// How the registry itself is spoken to: as a mirror of it says that has its own name, else as any registry.
    pub(super) fn own_endpoint(mirrors: &[Self], registry: &str) -> Endpoint {
        let own = mirrors.iter().find(|mirror| mirror.registry == registry && mirror.endpoint.host == registry);
        own.map_or_else(|| Endpoint::of_registry(registry), |mirror| mirror.endpoint.clone())
    }
}

impl FromStr for Mirror {
    type Err = ParseMirrorError;

    /// Takes `REGISTRY=URL`, `*=URL` for every registry that has no other, or a URL for docker.io; a URL without scheme is https, or on the loopback interface either.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (registry, url) = match text.split_once('=') {
            Some(parts) if !is_url(text) => parts,
            _ => (DOCKER_HUB, text),
        };
        // A password would not be used, and is not shown.
        let error = || ParseMirrorError(format!("{}{}", &text[..text.len() - url.len()], shown_url(url)));
        let url = url.strip_suffix('/').unwrap_or(url);
        let endpoint = if let Some(host) = url.strip_prefix("http://") {
            Endpoint { host: host.to_owned(), scheme: Scheme::Http }
        } else if let Some(host) = url.strip_prefix("https://") {
            Endpoint { host: host.to_owned(), scheme: Scheme::Https }
        } else {
            Endpoint::of_registry(url)
        };
        if !(registry == EVERY || is_registry(registry)) || !is_registry(&endpoint.host) {
            return Err(error());
        }
        let registry = if registry == "index.docker.io" { DOCKER_HUB } else { registry }.to_owned();
        Ok(Self { registry, endpoint })
    }
}

/// Whether host and port are on the loopback interface.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_written_as_in_linuxkit() {
        let rows = [
            ("docker.io=http://127.0.0.1:5000", "docker.io", "127.0.0.1:5000", Scheme::Http),
            ("http://mirror.example:80/", "docker.io", "mirror.example:80", Scheme::Http),
            ("https://mirror.example", "docker.io", "mirror.example", Scheme::Https),
            ("quay.io=localhost:5000", "quay.io", "localhost:5000", Scheme::Either),
            ("*=https://mirror.example", "*", "mirror.example", Scheme::Https),
            ("quay.io=mirror.example", "quay.io", "mirror.example", Scheme::Https),
        ];
        for (text, registry, host, scheme) in rows {
            let endpoint = Endpoint { host: host.to_owned(), scheme };
            assert_eq!(text.parse(), Ok(Mirror { registry: registry.to_owned(), endpoint }));
        }
        for text in ["", "=", "docker.io=", "http://", "http://x/path", "a b=http://x", "ftp://x"] {
            assert_eq!(text.parse::<Mirror>(), Err(ParseMirrorError(text.to_owned())));
        }
        for (text, shown) in [("x=http://u:pw@y", "x=http://***@y"), ("https://y/?s=t", "https://y/?***")] {
            assert_eq!(text.parse::<Mirror>(), Err(ParseMirrorError(shown.to_owned())));
        }
    }

    #[test]
    fn a_mirror_of_every_registry_is_asked_where_there_is_no_other() {
        let mirrors =
            ["*=http://all", "q.io=http://a", "q.io=http://b", "*=http://rest"].map(|text| text.parse().unwrap());
        let hosts =
            |registry| Mirror::of(&mirrors, registry).map(|mirror| mirror.endpoint.host.as_str()).collect::<Vec<_>>();
        assert_eq!((hosts("q.io"), hosts("docker.io")), (vec!["a", "b"], vec!["all", "rest"]));
    }

    #[test]
    fn a_mirror_with_the_name_of_its_registry_says_how_that_is_spoken_to() {
        let mirrors = ["q.io=http://other", "q.io=http://q.io", "http://x"].map(|text| text.parse().unwrap());
        let endpoint = |host: &str, scheme| Endpoint { host: host.to_owned(), scheme };
        let rows = [
            ("q.io", Scheme::Http),
            ("docker.io", Scheme::Https),
            ("r.io", Scheme::Https),
            ("localhost", Scheme::Either),
        ];
        for (registry, scheme) in rows {
            assert_eq!(Mirror::own_endpoint(&mirrors, registry), endpoint(registry, scheme));
        }
    }

    #[test]
    fn only_the_loopback_interface_may_be_spoken_to_without_tls() {
        for (host, plain) in
            [("localhost", true), ("[::1]:5", true), ("127.9.9.9:1", true), ("127.0.0.1.nip.io", false)]
        {
            assert_eq!(Endpoint::of_registry(host).scheme == Scheme::Either, plain, "{host}");
        }
    }
}
