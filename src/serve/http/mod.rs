//! The HTTP door: artifacts as files of a server, a page that tells how to boot them, and a script for iPXE.
//!
//! ```text
//! clients ── connection ── answer ──┬─ artifact ── body ── encoded? ── Source::read_at, on threads of its own
//!            limits, TLS   paths    ├─ page, listing, ipxe
//!                                   └─ directory ── body ── a file below it
//! ```
//!
//! # Invariants
//! - Nothing of an artifact is laid out or read before somebody asks for it, and no file is held in memory.
//! - A client that is slow, silent or gone holds its own connection for some time, and nobody else's; so does one whose
//!   reads wait for a registry: there is a thread for each.
//!
//! # Format
//! RFC 9110 (HTTP), RFC 9112 (HTTP/1.1).

mod accepted;
mod answer;
mod artifact;
mod below;
mod body;
mod conditions;
mod connection;
mod content;
mod directory;
mod encoded;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod listing;
mod page;
mod patient;
mod range;
mod reply;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::sync::Semaphore;

use self::answer::Shelf;
use self::artifact::Shop;
use self::body::MOST_LARGE;
use self::connection::Greeter;
pub use self::directory::Directory;
use super::Exports;
use super::stop::Stop;

/// Threads that wait for clients: they only pass bytes on.
const MOVERS: usize = 2;
/// How long a thread that lays out and reads is kept without work.
const KEPT: Duration = Duration::from_secs(2);
/// How long a door waits when the system has no room for another connection.
const PAUSE: Duration = Duration::from_millis(100);

/// How it is served.
#[derive(Clone, Default)]
pub struct Rules {
    /// What TLS is spoken by; plain HTTP without it.
    pub tls: Option<Arc<ServerConfig>>,
    /// What clients may cost.
    pub limits: Limits,
}

/// What clients may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; others wait to be accepted.
    pub connections: usize,
    /// How long a client may take for a handshake or for the head of a question, or ask nothing.
    pub silence: Duration,
    /// How long a client may take nothing of an answer.
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 1024, silence: Duration::from_secs(30), stall: Duration::from_secs(60) }
    }
}

/// Serves `exports` until it is told to stop.
///
/// # Errors
/// When the system has no room for its threads, or cannot listen.
pub fn serve(listener: TcpListener, exports: &Exports, rules: &Rules, stop: &Stop) -> io::Result<()> {
    let scheme = if rules.tls.is_some() { "https" } else { "http" };
    let shop = Shop { exports: exports.clone(), room: Default::default(), encoders: Default::default(), scheme };
    serve_shelf(listener, Arc::new(shop), rules, stop)
}

/// Serves the files of a directory until it is told to stop.
///
/// # Errors
/// As [`serve`].
pub fn serve_directory(listener: TcpListener, directory: Directory, rules: &Rules, stop: &Stop) -> io::Result<()> {
    serve_shelf(listener, Arc::new(directory), rules, stop)
}

fn serve_shelf(listener: TcpListener, shelf: Arc<dyn Shelf>, rules: &Rules, stop: &Stop) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(MOVERS)
        // One for each question, and one for each piece that is read ahead, so that no read waits for that of another.
        .max_blocking_threads(rules.limits.connections.saturating_add(MOST_LARGE))
        .thread_keep_alive(KEPT)
        .thread_name("http")
        .enable_all()
        .build()?;
    let greeter = Greeter { shelf, rules: rules.clone() };
    listener.set_nonblocking(true)?;
    let listener = {
        let _entered = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    runtime.spawn(accept(listener, greeter));
    let stopped = stop.wait(None);
    // A read that waits for a registry is not waited for.
    runtime.shutdown_background();
    stopped.map(drop)
}

async fn accept(listener: tokio::net::TcpListener, greeter: Greeter) {
    let room = Arc::new(Semaphore::new(greeter.rules.limits.connections));
    loop {
        // It is never closed.
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let greeter = greeter.clone();
                tokio::spawn(async move {
                    greeter.serve(stream).await;
                    drop(permit);
                });
            }
            // The client is gone again, or the system has no file for it: others have to end first.
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
