//! Addresses that `lkit serve` listens on.
//!
//! # Format
//! `nbd+unix:///PATH`, `nbd://HOST[:PORT]`, `http://HOST[:PORT]`, `tftp://HOST[:PORT]`; an IPv6 address stands in brackets.
//! Port 0 stands for one that is free, and the host `*` for every address of this machine.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::str::FromStr;

use crate::base::{ErrorKind, Fault};

/// What is spoken at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Network block devices.
    Nbd,
    /// HTTP.
    Http,
    /// TFTP.
    Tftp,
}

impl Protocol {
    /// What its addresses begin with.
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Nbd => "nbd",
            Self::Http => "http",
            Self::Tftp => "tftp",
        }
    }

    /// The port that its clients try first (IANA).
    const fn port(self) -> u16 {
        match self {
            Self::Nbd => 10809,
            Self::Http => 80,
            Self::Tftp => 69,
        }
    }
}

/// Where clients come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// A unix socket, by its absolute path.
    Unix(PathBuf),
    /// A port of a host: a name, or an IP address without brackets.
    Host(String, u16),
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// What is spoken there.
    pub protocol: Protocol,
    /// Where it is.
    pub entrance: Entrance,
}

impl Address {
    /// The socket addresses of a host; none for a unix socket.
    ///
    /// # Errors
    /// When the host is not known.
    pub fn sockets(&self) -> std::io::Result<Vec<SocketAddr>> {
        match &self.entrance {
            Entrance::Unix(_) => Ok(Vec::new()),
            // One socket for both families, where there are both.
            Entrance::Host(host, port) if host == "*" => {
                Ok(vec![(Ipv6Addr::UNSPECIFIED, *port).into(), (Ipv4Addr::UNSPECIFIED, *port).into()])
            }
            Entrance::Host(host, port) => Ok((host.as_str(), *port).to_socket_addrs()?.collect()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.protocol.scheme();
        match &self.entrance {
            Entrance::Unix(path) => write!(f, "{scheme}+unix://{}", path.display()),
            Entrance::Host(host, port) if host.contains(':') => write!(f, "{scheme}://[{host}]:{port}"),
            Entrance::Host(host, port) => write!(f, "{scheme}://{host}:{port}"),
        }
    }
}

/// What is wrong with `https` and `nbds`.
const SECRET: &str = "TLS is spoken by a certificate, whatever the address says";

/// Why a text is no address to listen on.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no address to listen on: {why}")]
pub struct ParseAddressError {
    text: String,
    why: &'static str,
}

impl Fault for ParseAddressError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }

    fn hint(&self) -> Option<String> {
        if self.why == SECRET {
            return Some(
                "write `http://HOST:PORT` or `nbd://HOST:PORT` with `--tls-cert FILE --tls-key FILE`".to_owned(),
            );
        }
        let forms = "`nbd+unix:///PATH`, `nbd://HOST:PORT`, `http://HOST:PORT` or `tftp://HOST:PORT`";
        Some(format!("write {forms}, such as `nbd://127.0.0.1:10809`"))
    }
}

impl FromStr for Address {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, ParseAddressError> {
        let parsed = match text.split_once("://") {
            Some(("nbd+unix", path)) => socket(path).map(|entrance| (Protocol::Nbd, entrance)),
            Some(("nbd", host)) => port_of(Protocol::Nbd, host),
            Some(("http", host)) => port_of(Protocol::Http, host),
            Some(("tftp", host)) => port_of(Protocol::Tftp, host),
            Some(("https" | "nbds", _)) => Err(SECRET),
            Some(_) => Err("its protocol is not served"),
            None => Err("it names no protocol"),
        };
        let (protocol, entrance) = parsed.map_err(|why| ParseAddressError { text: text.to_owned(), why })?;
        Ok(Self { protocol, entrance })
    }
}

fn socket(path: &str) -> Result<Entrance, &'static str> {
    match path {
        _ if !path.starts_with('/') => Err("the path of a socket begins with `/`"),
        _ if path.ends_with('/') => Err("a directory is no socket"),
        // In the addresses of clients these mean something else.
        _ if path.contains(['?', '%', '#', '\0']) => {
            Err("the path has a character that addresses of clients cannot have")
        }
        _ => Ok(Entrance::Unix(path.into())),
    }
}

fn port_of(protocol: Protocol, text: &str) -> Result<(Protocol, Entrance), &'static str> {
    let text = text.strip_suffix('/').unwrap_or(text);
    let (host, rest) = match text.strip_prefix('[') {
        Some(text) => text.split_once(']').ok_or("a bracket is not closed")?,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    if host.is_empty() {
        return Err("it names no host");
    }
    let is_address = host.parse::<Ipv6Addr>().is_ok();
    if text.starts_with('[') != is_address || host.contains(['/', '@', '?', '#', ' ']) {
        return Err("its host is none");
    }
    let port = match rest.strip_prefix(':') {
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => port.parse().map_err(|_| "its port is none")?,
        None if rest.is_empty() => protocol.port(),
        _ => return Err("its port is none"),
    };
    Ok((protocol, Entrance::Host(host.to_owned(), port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_socket_or_a_port_of_a_host() {
        let rows = [
            ("nbd+unix:///run/x.sock", "nbd+unix:///run/x.sock"),
            ("nbd://localhost", "nbd://localhost:10809"),
            ("nbd://[::1]:0/", "nbd://[::1]:0"),
            ("nbd://[::1]", "nbd://[::1]:10809"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://host", "http://host:80"),
            ("tftp://0.0.0.0", "tftp://0.0.0.0:69"),
            ("http://*:8080", "http://*:8080"),
        ];
        for (text, shown) in rows {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), shown, "{text}");
            assert_eq!(shown.parse(), Ok(address), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        let rows = [
            ("", "it names no protocol"),
            ("127.0.0.1:80", "it names no protocol"),
            ("ftp://x", "its protocol is not served"),
            ("nbds://x", SECRET),
            ("https://x:1", SECRET),
            ("nbd://", "it names no host"),
            ("nbd://:80", "it names no host"),
            ("nbd://[::1", "a bracket is not closed"),
            ("nbd://[x]:1", "its host is none"),
            ("nbd://::1:80", "it names no host"),
            ("http://user@x:1", "its host is none"),
            ("http://x/y", "its host is none"),
            ("nbd://x:", "its port is none"),
            ("nbd://x:65536", "its port is none"),
            ("nbd://x:+1", "its port is none"),
            ("nbd://x:1/y", "its port is none"),
            ("nbd+unix://x", "the path of a socket begins with `/`"),
            ("nbd+unix:///run/", "a directory is no socket"),
            ("nbd+unix:///?socket=/x", "the path has a character that addresses of clients cannot have"),
        ];
        for (text, why) in rows {
            let error = text.parse::<Address>().unwrap_err();
            assert_eq!((error.text.as_str(), error.why, error.kind()), (text, why, ErrorKind::Usage));
        }
    }
}
