//! The FUSE side of a mount: protocol, settings, sessions.
//!
//! ```text
//! kernel ─▶ 2 session threads ─▶ adapter ─▶ generations ─▶ Files          names, attributes: answered at once
//!                                   └─────▶ readers ─▶ generations ─▶ Files   bytes and layouts: may take their time
//! kernel's cache ◀─ ahead ◀────────────────────┘            what a sequential reader will ask for next
//! ```

mod adapter;
mod ahead;
mod attach;
mod attr;
mod errno;
mod generations;
mod readers;
mod request;
mod session;

pub use session::{MountOptions, Session, Shown, check_mount, lets_users_allow_other, mount};
