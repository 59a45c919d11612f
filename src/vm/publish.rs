//! Ports of the host that lead into a machine, as `docker` and `linuxkit` write them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::str::FromStr;

use super::Error;

/// A protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// Its name in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A published port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// Address of the host; all of them without one.
    pub address: Option<Ipv4Addr>,
    /// Port of the host.
    pub host: u16,
    /// Port of the guest.
    pub guest: u16,
    /// The protocol.
    pub protocol: Protocol,
}

impl Port {
    /// Opens the port and keeps it until the result is dropped. A port that cannot be opened is told here, before a monitor
    /// fails on it with a message that is less clear.
    ///
    /// # Errors
    /// `PortTaken`, or `Port` with the reason.
    pub fn hold(&self) -> Result<OwnedFd, Error> {
        let at = (IpAddr::from(self.address.unwrap_or(Ipv4Addr::UNSPECIFIED)), self.host);
        let opened = match self.protocol {
            Protocol::Tcp => TcpListener::bind(at).map(OwnedFd::from),
            Protocol::Udp => UdpSocket::bind(at).map(OwnedFd::from),
        };
        opened.map_err(|source| match source.kind() {
            std::io::ErrorKind::AddrInUse => Error::PortTaken(self.to_string()),
            _ => Error::Port { port: self.to_string(), source },
        })
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.iter().try_for_each(|address| write!(f, "{address}:"))?;
        write!(f, "{}/{}", self.host, self.protocol.name())
    }
}

impl FromStr for Port {
    type Err = Error;

    /// Takes `[IP:]HOST:GUEST[/tcp|udp]`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let error = || Error::NotAPort(text.to_owned());
        let (ports, protocol) = match text.split_once('/') {
            None | Some((_, "tcp")) => (text.split('/').next().unwrap_or(text), Protocol::Tcp),
            Some((ports, "udp")) => (ports, Protocol::Udp),
            Some(_) => return Err(error()),
        };
        let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(error);
        let parts: Vec<&str> = ports.split(':').collect();
        let (address, host, guest) = match parts[..] {
            [host, guest] => (None, host, guest),
            [address, host, guest] => (Some(address.parse().map_err(|_| error())?), host, guest),
            _ => return Err(error()),
        };
        Ok(Self { address, host: number(host)?, guest: number(guest)?, protocol })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_docker_writes_them() {
        let port = |address, host, guest, protocol| Port { address, host, guest, protocol };
        let local = Some(Ipv4Addr::LOCALHOST);
        assert_eq!("8080:80".parse::<Port>().unwrap(), port(None, 8080, 80, Protocol::Tcp));
        assert_eq!("127.0.0.1:53:5353/udp".parse::<Port>().unwrap(), port(local, 53, 5353, Protocol::Udp));
        for text in ["", "80", "0:80", "a:b", "1:2/sctp", "x:1:2", "1:2:3:4", "1:70000"] {
            assert!(text.parse::<Port>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_port_in_use_is_told_also_one_that_is_published_twice() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let host = listener.local_addr().unwrap().port();
        let port = Port { address: Some(Ipv4Addr::LOCALHOST), host, guest: 80, protocol: Protocol::Tcp };
        let taken = format!("port 127.0.0.1:{host}/tcp of this host is in use");
        assert_eq!(port.hold().unwrap_err().to_string(), taken);
        drop(listener);
        let held = port.hold().unwrap();
        assert_eq!(Port { guest: 81, ..port }.hold().unwrap_err().to_string(), taken);
        drop(held);
        port.hold().unwrap();
    }
}
