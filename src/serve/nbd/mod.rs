//! Artifacts as network block devices.
//!
//! # Format
//! The NBD protocol (doc/proto.md of the NBD project): fixed newstyle, structured replies, `base:allocation`.
//!
//! # Invariants
//! - Whatever a client sends, its connection alone suffers.
//! - A connection has a bounded number of threads, each with a buffer of bounded size.

mod connections;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;

use self::connections::Connections;
use super::Exports;
use super::stop::Stop;

/// Whether a door speaks TLS.
#[derive(Clone)]
pub enum Security {
    /// Never.
    Plain,
    /// With clients that ask for it.
    TlsIfAsked(Arc<ServerConfig>),
    /// With all clients.
    Tls(Arc<ServerConfig>),
}

/// What clients can take of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time.
    pub connections: usize,
    /// How long a client may take to choose an export.
    pub handshake: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 64, handshake: Duration::from_secs(20) }
    }
}

/// How a door serves.
#[derive(Clone)]
pub struct Rules {
    /// Whether it speaks TLS.
    pub security: Security,
    /// What its clients can take.
    pub limits: Limits,
}

/// Serves `exports` to whoever connects to a listening socket, until it is told to stop.
///
/// # Errors
/// When the socket breaks.
pub fn serve(listener: &OwnedFd, exports: &Exports, rules: &Rules, stop: &Stop) -> io::Result<()> {
    let connections = Connections::new(rules.limits.connections);
    connections.accept(listener, stop, |stream| {
        let _ = (stream, exports.now());
    })
}
