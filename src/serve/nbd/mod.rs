//! Artifacts as network block devices.
//!
//! # Format
//! The NBD protocol (doc/proto.md of the NBD project): fixed newstyle, structured replies, `base:allocation`.
//!
//! ```text
//! socket ──connections──▶ stream ──link──▶ handshake ──▶ Chosen ──transmission──▶ replies
//! ```
//!
//! # Invariants
//! - Whatever a client sends, its connection alone suffers.
//! - A connection has a bounded number of threads, each with a buffer of bounded size.

mod connections;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod handshake;
mod holes;
mod link;
mod outbox;
#[cfg(test)]
mod tests;
mod transmission;
mod wire;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConfig;

use self::connections::Connections;
use self::handshake::Handshake;
use self::link::{Link, Receiver};
use super::Exports;
use super::stop::Stop;

/// Longest read in bytes: what clients expect of servers that tell them no other ("Block size constraints").
const LONGEST_REQUEST: u32 = 32 << 20;

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
    connections.accept(listener, stop, |stream| converse(stream, exports, rules))
}

/// Serves a client until it goes.
pub(super) fn converse(stream: Arc<File>, exports: &Exports, rules: &Rules) {
    let link = Link::new(stream);
    if let Err(error) = talk(&link, exports, rules) {
        tracing::info!("the connection of a client ends: {error}");
    }
    link.finish();
}

fn talk(link: &Link, exports: &Exports, rules: &Rules) -> io::Result<()> {
    let mut receiver = Receiver::new(link, Some(Instant::now() + rules.limits.handshake));
    let Some(chosen) = Handshake::run(link, &mut receiver, exports, &rules.security)? else { return Ok(()) };
    receiver.be_patient()?;
    transmission::run(link, &mut receiver, &chosen)
}
