//! The FUSE side of a mount: protocol, settings, sessions.
//!
//! ```text
//! kernel ─▶ 2 session threads ─▶ adapter ─▶ generations ─▶ Files          names, attributes: answered at once
//!                                   └─────▶ readers ─▶ generations ─▶ Files   bytes and layouts: may take their time
//! kernel's cache ◀─ ahead ◀────────────────────┘            what a sequential reader will ask for next
//! ```

mod adapter;
mod ahead;
mod attr;
mod errno;
mod generations;
mod handed;
#[cfg_attr(target_os = "macos", path = "macos.rs")]
#[cfg_attr(not(target_os = "macos"), path = "linux.rs")]
mod host;
mod options;
mod readers;
mod request;
mod session;

pub use host::lets_users_allow_other;
pub use options::MountOptions;
pub use session::{Session, Shown, check_mount, mount};
