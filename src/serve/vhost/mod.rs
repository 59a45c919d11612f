//! Artifacts as disks of virtual machines, by vhost-user: a monitor connects to a socket and hands over the memory of its
//! guest, in which the guest's requests are then answered without the monitor.
//!
//! ```text
//! monitor ──socket── VhostUserDaemon: memory, rings, events          (one for each front end)
//! guest ── rings in its memory ── Device ── Request ── Disk ── Source
//! ```
//!
//! # Invariants
//! - A guest gets no byte from outside its disk, and only its own memory is written to.
//! - Memory and time of a request are bounded, whatever a guest writes into its rings.
//! - A front end that leaves, breaks the protocol, or takes back memory that it handed over, ends its own device alone;
//!   another may connect, and nothing of the first is left.

mod chain;
mod device;
mod disk;
mod end;
mod faults;
#[cfg(test)]
mod front_end;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod handed;
mod socket;
#[cfg(test)]
mod tests;

pub use super::unix_socket::open;
pub use socket::{check, serve};
