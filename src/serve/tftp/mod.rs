//! The TFTP door: what firmware fetches first, read-only.
//!
//! ```text
//! port 69 ── request ──▶ a thread and a port for each transfer ── blocks ──▶ client
//! ```
//!
//! # Invariants
//! - No client is sent more than a few packets before it has answered one: the address of a request may be forged.
//! - Transfers are bounded in number, and one whose client is silent ends.
//!
//! # Format
//! RFC 1350, with the options of RFC 2347 to 2349 and RFC 7440.

#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod packet;
mod transfer;

use std::collections::HashSet;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use self::packet::{NOT_FOUND, Packet, Refusal, Request, UNDEFINED};
use self::transfer::{Reaction, Transfer};
use super::stop::{Stop, Woken};
use super::{Exports, ipxe};
use crate::base::{in_line, printable};
use crate::extent::{Bytes, SharedSource};

/// Bytes of a packet of a client that are looked at: requests have 512 at most (RFC 2347).
const LONGEST: usize = 1024;

/// How long a packet may take that the system has announced: one that turns out to be damaged never comes.
const DAMAGED: Duration = Duration::from_millis(10);

/// What clients may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Transfers at a time.
    pub transfers: usize,
    /// How long an answer is waited for before a packet is sent again, unless the client says how long.
    pub wait: Duration,
    /// How often a packet is sent to a client that does not answer.
    pub tries: u32,
    /// The same before it has answered at all.
    pub first_tries: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { transfers: 128, wait: Duration::from_secs(1), tries: 6, first_tries: 3 }
    }
}

/// Clients that have a transfer.
type Clients = Arc<Mutex<HashSet<SocketAddr>>>;

/// A client's place among them.
struct Seat {
    client: SocketAddr,
    clients: Clients,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.client);
    }
}

/// Serves `exports` until it is told to stop.
///
/// # Errors
/// When the system cannot wait for packets.
pub fn serve(socket: &UdpSocket, exports: &Exports, limits: Limits, stop: &Stop) -> io::Result<()> {
    let clients = Clients::default();
    let mut bytes = [0; LONGEST];
    socket.set_read_timeout(Some(DAMAGED))?;
    while stop.wait_for(socket, None)? == Woken::Ready {
        // An error is of an earlier answer, such as that nobody listens there, or of a damaged packet.
        let Ok((len, client)) = socket.recv_from(&mut bytes) else { continue };
        let refusal = match Packet::parse(&bytes[..len]) {
            Ok(Some(Packet::Read(request))) => {
                let Some(seat) = seat(&clients, client, limits) else { continue };
                let (exports, stop, local) = (exports.clone(), stop.clone(), socket.local_addr()?);
                let transfer = move || send(&request, &Route { local, seat, limits, stop }, &exports);
                match thread::Builder::new().name("tftp".to_owned()).spawn(transfer) {
                    Ok(_) => continue,
                    Err(error) => Refusal::new(UNDEFINED, format!("the server is busy: {error}")),
                }
            }
            Ok(_) => continue,
            Err(refusal) => refusal,
        };
        tell(socket.send_to(&refusal.packet(), client), client);
    }
    Ok(())
}

/// A place for a client; `None` where it has one, since it only asks again, or where all are taken, so that it asks again.
fn seat(clients: &Clients, client: SocketAddr, limits: Limits) -> Option<Seat> {
    let mut taken = clients.lock().unwrap_or_else(PoisonError::into_inner);
    let has_room = taken.len() < limits.transfers;
    (has_room && taken.insert(client)).then(|| Seat { client, clients: clients.clone() })
}

/// Between whom a transfer goes on, and how patiently.
struct Route {
    local: SocketAddr,
    seat: Seat,
    limits: Limits,
    stop: Stop,
}

/// Sends a client what it asks for.
fn send(request: &Request, route: &Route, exports: &Exports) {
    let client = route.seat.client;
    let sent = connected(route).and_then(|socket| match found(request, exports) {
        Ok(source) => converse(&socket, Transfer::new(source, request), request, route),
        Err(refusal) => socket.send(&refusal.packet()).map(drop),
    });
    tell(sent, client);
}

/// A socket of a port of its own, on which only the client is heard.
fn connected(route: &Route) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((route.local.ip(), 0))?;
    socket.connect(route.seat.client)?;
    socket.set_read_timeout(Some(DAMAGED))?;
    Ok(socket)
}

/// What has this name: an artifact, or the script for iPXE, whose files stand next to it.
fn found(request: &Request, exports: &Exports) -> Result<SharedSource, Refusal> {
    let generation = exports.now();
    let name = request.name.trim_start_matches('/');
    let source = match (generation.get(name), name) {
        (Some(artifact), _) => artifact.open().cloned(),
        (None, "ipxe" | "boot.ipxe") => {
            ipxe::script(&generation, "").map(|text| Arc::new(Bytes(text.into_bytes().into())) as SharedSource)
        }
        (None, _) => {
            let message = format!("there is no `{}` here", printable(name.as_bytes()));
            return Err(Refusal::new(NOT_FOUND, message));
        }
    };
    source.map_err(|error| Refusal::new(UNDEFINED, in_line(&error)))
}

/// Sends a file block by block, until the client has it, wants no more, or says nothing.
fn converse(socket: &UdpSocket, mut transfer: Transfer, request: &Request, route: &Route) -> io::Result<()> {
    let wait = request.wait().unwrap_or(route.limits.wait);
    let mut tries = 0;
    loop {
        let packets = match transfer.packets() {
            Ok(packets) => packets,
            Err(error) => {
                tracing::warn!("cannot send `{}` to its end: {}", printable(request.name.as_bytes()), in_line(&error));
                return socket.send(&Refusal::new(UNDEFINED, in_line(&error)).packet()).map(drop);
            }
        };
        for packet in &packets {
            socket.send(packet)?;
        }
        tries += 1;
        match answered(socket, &mut transfer, Instant::now() + wait, &route.stop)? {
            Answer::News => tries = 0,
            Answer::End => return Ok(()),
            Answer::None if transfer.is_proven() && tries < route.limits.tries => {}
            Answer::None if tries < route.limits.first_tries => {}
            Answer::None => return Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// What a client said within some time.
enum Answer {
    News,
    None,
    End,
}

fn answered(socket: &UdpSocket, transfer: &mut Transfer, until: Instant, stop: &Stop) -> io::Result<Answer> {
    let mut bytes = [0; LONGEST];
    loop {
        match stop.wait_for(socket, Some(until.saturating_duration_since(Instant::now())))? {
            Woken::Ready => {}
            Woken::Late => return Ok(Answer::None),
            Woken::Stopped => return Ok(Answer::End),
        }
        let len = match socket.recv(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            received => received?,
        };
        match Packet::parse(&bytes[..len]) {
            Ok(Some(Packet::Acknowledged(number))) => match transfer.acknowledged(number) {
                Reaction::Send => return Ok(Answer::News),
                Reaction::Done => return Ok(Answer::End),
                Reaction::Ignore => {}
            },
            Ok(Some(Packet::Aborted)) => return Ok(Answer::End),
            _ => {}
        }
    }
}

/// Tells of what could not be sent; clients that are gone are no surprise.
fn tell<T>(sent: io::Result<T>, client: SocketAddr) {
    if let Err(error) = sent {
        tracing::debug!("cannot send to {client}: {error}");
    }
}
