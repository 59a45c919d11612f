//! Arguments of `serve`.

use std::ffi::OsString;
use std::num::NonZero;
use std::path::PathBuf;

use clap::{Args as Group, ValueHint};

use super::{Reads, RootFs, System, Watching};

/// What says how specs are served. Those that the environment may say, too, change nothing for a directory.
const OF_SPECS: [&str; 27] = [
    "specs",
    "vhost_user",
    "root",
    "watch",
    "watch_interval",
    "no_wait",
    "reads",
    "record",
    "arch",
    "layout",
    "store",
    "offline",
    "pull",
    "mirror",
    "trust_indexes",
    "locked",
    "allow_local_sources",
    "name",
    "decompress_kernel",
    "size",
    "data_size",
    "loader",
    "sbom",
    "no_sbom",
    "sbom_format",
    "sbom_output",
    "sbom_current_time",
];

#[derive(Debug, Group)]
pub struct Serve {
    /// Specs (files, `-`, or URLs; merged in order)
    #[arg(required_unless_present = "directory", value_name = "SPEC")]
    pub specs: Vec<PathBuf>,
    /// Serve the files of a directory by HTTP, in the place of specs
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with_all = OF_SPECS)]
    pub directory: Option<PathBuf>,
    /// Listen here (repeatable): nbd+unix:///PATH for this user, nbd://HOST:PORT, http://HOST:PORT or tftp://HOST:PORT; port
    /// 0 chooses a free one
    #[arg(long, value_name = "ADDRESS", required_unless_present = "vhost_user")]
    pub listen: Vec<String>,
    /// Give an artifact, such as NAME-efi.img, to virtual machine monitors that connect to a socket, as a disk that is only
    /// read (repeatable; all their memory must be shared)
    #[arg(long, value_name = "SOCKET=ARTIFACT")]
    pub vhost_user: Vec<OsString>,
    /// Serve in the foreground until interrupted, as is the default
    #[arg(short, long, conflicts_with = "background")]
    pub foreground: bool,
    /// Leave the terminal when all is served; SIGTERM ends the server
    #[arg(long)]
    pub background: bool,
    /// Say that it serves as soon as clients can read the kernel and the command line. A client that asks for another artifact
    /// waits until lkit has indexed all layers [default: say it then]
    #[arg(long)]
    pub no_wait: bool,
    /// File for the server's messages
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub log: Option<PathBuf>,
    /// Speak TLS by this certificate (PEM, with those that lead to its authority); TCP is then served by TLS alone
    #[arg(long, value_name = "FILE", requires = "tls_key", value_hint = ValueHint::FilePath)]
    pub tls_cert: Option<PathBuf>,
    /// The key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert", value_hint = ValueHint::FilePath)]
    pub tls_key: Option<PathBuf>,
    /// Serve by TLS those clients alone that have a certificate of these authorities (PEM) [default: everybody]
    #[arg(long, value_name = "FILE", requires = "tls_cert", value_hint = ValueHint::FilePath)]
    pub tls_client_ca: Option<PathBuf>,
    /// Listen without TLS where other machines can connect: all of them can read the whole system [default: refuse]
    #[arg(long)]
    pub insecure_listen: bool,
    /// Most connections of an address at a time; further ones are closed at once, by HTTP and TFTP they wait [default: 64
    /// for NBD, 1024 for HTTP, 128 for TFTP]
    #[arg(long, value_name = "N")]
    pub max_connections: Option<NonZero<usize>>,
    /// Serve the small initrd NAME-FS-initrd.img, too, with which the kernel starts from a disk with the root; the script for
    /// iPXE boots with it when the root is served at `nbd://HOST`
    #[arg(long, value_name = "FS", value_enum)]
    pub root: Option<RootFs>,
    #[command(flatten)]
    pub watching: Watching,
    #[command(flatten)]
    pub reads: Reads,
    #[command(flatten)]
    pub system: System,
}
