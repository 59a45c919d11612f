//! Doors: what listens at an address, before anything is fetched, and then serves the artifacts from there.
//!
//! ```text
//! Address ──Door::open──▶ Door ──Serving::start──▶ threads ──▶ clients
//!            bound at once          with Exports        until Stop
//! ```

use std::io;
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};

use rustls::ServerConfig;

use super::address::{Address, Entrance, Protocol};
use super::nbd::{self, Security};
use super::stop::{Stop, Stopper};
use super::unix_socket::{self, SocketFile};
use super::{Error, Exports, Interrupts, http, tftp, vhost};

/// What holds for all doors.
#[derive(Clone, Default)]
pub struct DoorRules {
    /// What TLS is spoken by, where it is.
    pub tls: Option<Arc<ServerConfig>>,
    /// Addresses that others reach are served without TLS, too.
    pub insecure: bool,
    /// Most connections of a door at a time; each has a number of its own unless this says another.
    pub connections: Option<NonZero<usize>>,
}

/// What listens at an address. Clients that come before it is served wait.
pub struct Door {
    url: String,
    listener: Listener,
}

enum Listener {
    Nbd { socket: OwnedFd, security: Security, file: Option<SocketFile> },
    VhostUser { socket: UnixListener, artifact: String, file: SocketFile },
    Http(TcpListener),
    Directory(TcpListener, http::Directory),
    Tftp(UdpSocket),
}

impl Door {
    /// Listens at an address.
    ///
    /// # Errors
    /// When it is in use, not this machine's, or open to others against the rules.
    pub fn open(address: &Address, rules: &DoorRules) -> Result<Self, Error> {
        let shown = address.to_string();
        let sockets = address.sockets().map_err(Error::listen(&shown))?;
        let is_secret = rules.tls.is_some() && address.protocol != Protocol::Tftp;
        if !is_secret && !rules.insecure && !sockets.iter().all(|socket| is_loopback(socket.ip())) {
            return Err(Error::Exposed(shown));
        }
        match (address.protocol, &address.entrance) {
            (Protocol::Nbd, Entrance::Unix(path)) => {
                let (socket, file) = unix_socket::open(path)?;
                let security = rules.tls.clone().map_or(Security::Plain, Security::TlsIfAsked);
                let url = format!("nbd+unix:///?socket={}", path.display());
                let listener = Listener::Nbd { socket: socket.into(), security, file: Some(file) };
                Ok(Self { url, listener })
            }
            (Protocol::Nbd, Entrance::Host(..)) => {
                let socket = TcpListener::bind(&sockets[..]).map_err(Error::listen(&shown))?;
                let (scheme, security) =
                    rules.tls.clone().map_or(("nbd", Security::Plain), |tls| ("nbds", Security::Tls(tls)));
                let url = format!("{scheme}://{}", socket.local_addr().map_err(Error::listen(&shown))?);
                Ok(Self { url, listener: Listener::Nbd { socket: socket.into(), security, file: None } })
            }
            (Protocol::Http, _) => {
                let socket = TcpListener::bind(&sockets[..]).map_err(Error::listen(&shown))?;
                let scheme = if is_secret { "https" } else { "http" };
                let url = format!("{scheme}://{}", socket.local_addr().map_err(Error::listen(&shown))?);
                Ok(Self { url, listener: Listener::Http(socket) })
            }
            (Protocol::Tftp, _) => {
                let socket = UdpSocket::bind(&sockets[..]).map_err(Error::listen(&shown))?;
                let url = format!("tftp://{}", socket.local_addr().map_err(Error::listen(&shown))?);
                Ok(Self { url, listener: Listener::Tftp(socket) })
            }
        }
    }

    /// Listens at an address for clients that get the files of a directory by HTTP.
    ///
    /// # Errors
    /// As [`open`](Self::open); when the directory cannot be read, or the address is not one of HTTP.
    pub fn directory(address: &Address, directory: &Path, rules: &DoorRules) -> Result<Self, Error> {
        let served = http::Directory::open(directory.to_owned());
        let served = served.map_err(|source| Error::Directory { path: directory.to_owned(), source })?;
        if address.protocol != Protocol::Http {
            return Err(Error::OnlyHttp(address.to_string()));
        }
        let Self { url, listener } = Self::open(address, rules)?;
        match listener {
            Listener::Http(socket) => Ok(Self { url, listener: Listener::Directory(socket, served) }),
            _ => Err(Error::OnlyHttp(url)),
        }
    }

    /// Listens on a socket for monitors that take an artifact as a disk of their machine, by vhost-user.
    ///
    /// # Errors
    /// When a server lives there, or the system refuses, as all but Linux do.
    pub fn vhost_user(path: &Path, artifact: &str) -> Result<Self, Error> {
        let url = format!("vhost-user+unix:{}", path.display());
        let (socket, file) = vhost::open(path).map_err(|error| match error {
            Error::Listen { source, .. } => Error::listen(&url)(source),
            error => error,
        })?;
        Ok(Self { url, listener: Listener::VhostUser { socket, artifact: artifact.to_owned(), file } })
    }

    /// Where clients find it, with the port that was chosen.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Looks whether what it is to serve is there.
    fn check(&self, exports: &Exports) -> Result<(), Error> {
        match &self.listener {
            Listener::Nbd { .. } | Listener::Http(_) | Listener::Directory(..) | Listener::Tftp(_) => Ok(()),
            Listener::VhostUser { artifact, .. } => vhost::check(exports, artifact),
        }
    }

    /// Serves on a thread of its own until it is told to stop.
    fn start(self, exports: Exports, rules: &DoorRules, stop: Stop) -> Result<JoinHandle<()>, Error> {
        let Self { url, listener } = self;
        let rules = rules.clone();
        let serve = move || {
            let ended = listener.serve(&exports, rules, &stop);
            ended.unwrap_or_else(|error| tracing::error!("`{url}` is not served any more: {error}"));
        };
        thread::Builder::new().name("door".to_owned()).spawn(serve).map_err(Error::server("start a thread that serves"))
    }
}

impl Listener {
    /// Serves until it is told to stop.
    fn serve(self, exports: &Exports, rules: DoorRules, stop: &Stop) -> io::Result<()> {
        let most = |usual: usize| rules.connections.map_or(usual, NonZero::get);
        match self {
            Self::Nbd { socket, security, file } => {
                let limits = nbd::Limits::default();
                let limits = nbd::Limits { connections: most(limits.connections), ..limits };
                let _file = file;
                nbd::serve(&socket, exports, &nbd::Rules { security, limits }, stop)
            }
            Self::Http(socket) => http::serve(socket, exports, &http_rules(rules), stop),
            Self::Directory(socket, directory) => http::serve_directory(socket, directory, &http_rules(rules), stop),
            Self::VhostUser { socket, artifact, file } => {
                let _file = file;
                vhost::serve(socket, exports, &artifact, stop)
            }
            Self::Tftp(socket) => {
                let limits = tftp::Limits::default();
                tftp::serve(&socket, exports, tftp::Limits { transfers: most(limits.transfers), ..limits }, stop)
            }
        }
    }
}

fn http_rules(rules: DoorRules) -> http::Rules {
    let limits = http::Limits::default();
    let connections = rules.connections.map_or(limits.connections, NonZero::get);
    http::Rules { tls: rules.tls, limits: http::Limits { connections, ..limits } }
}

/// Whether nobody but this machine reaches it.
fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Doors that are served; they end at the latest when this is dropped.
pub struct Serving {
    doors: Vec<JoinHandle<()>>,
    stopper: Option<Stopper>,
}

impl Serving {
    /// Serves `exports` at all of these doors that have nothing else to serve.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(doors: Vec<Door>, exports: &Exports, rules: &DoorRules) -> Result<Self, Error> {
        let (stopper, stop) = Stop::pair().map_err(Error::server("make a pipe"))?;
        let mut serving = Self { doors: Vec::new(), stopper: Some(stopper) };
        for door in doors {
            door.check(exports)?;
            serving.doors.push(door.start(exports.clone(), rules, stop.clone())?);
        }
        Ok(serving)
    }

    /// Serves until a signal comes; those count that came since `interrupts` were caught.
    pub fn wait(self, interrupts: Interrupts) {
        let (send, signals) = channel();
        // Nobody listens any more only when the doors are closed.
        let _forwarding = interrupts.forward(move || send.send(()).unwrap_or_default());
        // An error says that no signal can come any more, and then nothing else could end us.
        let _ = signals.recv();
        drop(self);
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.stopper.take());
        for door in self.doors.drain(..) {
            if door.join().is_err() {
                tracing::error!("a door panicked");
            }
        }
    }
}
