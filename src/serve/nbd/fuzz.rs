//! Fuzz target: a client that sends anything.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;

use super::{Limits, Rules, Security, converse};
use crate::base::{Digest, ErrorKind};
use crate::extent::{MapBuilder, ReadError, Sink as _};
use crate::output::Artifact;
use crate::serve::{Exports, Generation};

/// Sends the bytes to a server with two exports, and takes all that comes back.
pub fn nbd(data: &[u8]) {
    let (client, server) = UnixStream::pair().expect("there are descriptors left");
    let exports = exports();
    let rules = Rules { security: Security::Plain, limits: Limits::default() };
    thread::scope(|threads| {
        let (client, mut writer) = (&client, &client);
        threads.spawn(move || {
            // The server lets go of a client that breaks the rules, whatever is still on its way.
            let _ = writer.write_all(data);
            let _ = writer.shutdown(Shutdown::Write);
        });
        threads.spawn(move || {
            let mut said = Vec::new();
            let ended = client.take(18).read_to_end(&mut said);
            assert!(ended.is_err() || said == b"NBDMAGICIHAVEOPT\0\x03", "{said:?}");
            // Gone with its end: what follows is replies, which the client does not understand.
            let _ = std::io::copy(&mut { client }, &mut std::io::sink());
        });
        converse(Arc::new(File::from(OwnedFd::from(server))), &exports, &rules);
    });
}

fn exports() -> Exports {
    let mut map = MapBuilder::default();
    map.bytes(&[1; 5000]);
    map.zeros(10_000);
    map.bytes(&[2; 100]);
    let late = || Err(ReadError::new(ErrorKind::Unsupported, "a file is over 4 GiB"));
    let artifacts = vec![Artifact::ready("a", map.share()), Artifact::new("b", late)];
    Exports::new(Generation::new(artifacts, Digest::of(b"")))
}
