//! Doors without a file system: artifacts as their clients get them.

mod nbd;
mod nbd_tls;
mod sandbox;
mod served;
mod http;
mod http_hostile;
mod server;
