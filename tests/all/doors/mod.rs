//! Doors without a file system: artifacts as their clients get them.

mod directory;
mod greedy;
mod http;
mod http_hostile;
mod nbd;
mod nbd_tls;
mod sandbox;
pub mod served;
mod server;
mod tftp;
#[cfg(target_os = "linux")]
mod vhost;
