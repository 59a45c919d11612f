//! Objects in buckets of Google Cloud Storage.
//!
//! # Format
//! "Cloud Storage JSON API: resumable uploads": a session, to which pieces of whole 256 KiB are sent in order; after a fault
//! it says how many bytes it has. The object appears with the last piece, and tells its size and CRC-32C.
//!
//! # Invariants
//! - The object appears when all bytes are there, or not at all: a session that fails or is interrupted is cancelled.
//! - What the object says of itself must be what was sent; one that says something else is removed.
//! - A session goes on at the byte that it has, in one run of the program. It is kept nowhere: whoever has its address may
//!   write the object without any other proof, and there is no list to find it in. One that is left ends within a week, and
//!   costs nothing.

use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, Url};
use serde_json::Value;

use super::{Door, Gcp};
use crate::base::{ErrorKind, MIB, in_memory};
use crate::extent::SharedSource;
use crate::push::parts::{Part, Parts, watched};
use crate::push::s3::{Stored, check_key, of_lie};
use crate::push::service::{Attempt, Call, Reply, Sent, TRIES, pause};
use crate::push::sigv4::escaped;
use crate::push::{Error, digits};

/// Bytes of a piece: some seconds of a usual network, and whole 256 KiB.
const PIECE: u64 = 8 * MIB;

/// A bucket.
pub struct GcsBucket<'a> {
    gcp: &'a Gcp,
    door: Door,
    name: String,
}

/// Who may read an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Those that the bucket says.
    Usual,
    /// All.
    All,
}

/// What a session says.
enum Taken {
    /// It has all bytes up to this one.
    UpTo(u64),
    /// It has all of them, and says this of the object.
    All(Value),
}

impl<'a> GcsBucket<'a> {
    /// The bucket of this name; nothing is connected to yet.
    ///
    /// # Errors
    /// When no bucket can have the name.
    pub fn new(gcp: &'a Gcp, name: &str) -> Result<Self, Error> {
        let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
        if !(3..=222).contains(&name.len()) || !name.bytes().all(is_name) || name.contains("..") {
            return Err(Error::usage(format!("no bucket can have the name `{name}`"))
                .hint("write the name alone, without `gs://` and without a path"));
        }
        Ok(Self { gcp, door: gcp.storage()?, name: name.to_owned() })
    }

    /// The URL of an object for people.
    pub fn url_of(&self, key: &str) -> String {
        format!("gs://{}/{key}", self.name)
    }

    /// The address of an object for other services of Google's.
    pub fn address_of(&self, key: &str) -> String {
        format!("https://storage.googleapis.com/{}/{}", self.name, escaped(key))
    }

    /// What pushing comes to, in words: a line for each step.
    ///
    /// # Errors
    /// As [`put`](Self::put) has them before it asks anybody.
    pub fn plan(&self, key: &str, size: u64) -> Result<String, Error> {
        check_key(key)?;
        let count = size.div_ceil(PIECE).max(1);
        Ok(format!("PUT {} ({size} bytes in {count} pieces)\n", self.url_of(key)))
    }

    /// Puts an object there, over what has its name, for all to read where `is_public`.
    ///
    /// # Errors
    /// When that fails, is interrupted, or takes longer than `limit`; then the bucket is as it was.
    pub fn put(&self, key: &str, source: &SharedSource, readers: Readers, limit: Duration) -> Result<Stored, Error> {
        check_key(key)?;
        let url = self.url_of(key);
        let upload = Upload { bucket: self, key, session: OnceLock::new(), sent: Sent::default() };
        let sending = upload.send(source, readers);
        let sending = watched(sending, (&url, source.size()), &upload.sent, &self.gcp.surroundings);
        self.door.service.wait(&url, limit, sending).inspect_err(|_| upload.cancel())
    }
}

/// An object on its way.
struct Upload<'a> {
    bucket: &'a GcsBucket<'a>,
    key: &'a str,
    /// Where the pieces go, from when it has begun.
    session: OnceLock<Url>,
    sent: Sent,
}

impl Upload<'_> {
    async fn send(&self, source: &SharedSource, readers: Readers) -> Result<Stored, Error> {
        let (size, url) = (source.size(), self.bucket.url_of(self.key));
        let session = self.begin(size, readers).await?;
        let _ = self.session.set(session.clone());
        let parts = Parts::read(source.clone(), PIECE);
        let (mut at, mut checksum, mut object) = (0, 0, None);
        while let Some(part) = parts.next(&url).await? {
            checksum = crc32c::crc32c_append(checksum, &part.bytes);
            let end = at + part.bytes.len() as u64;
            object = self.piece(&session, &part, (at, size), checksum).await?;
            at = end;
        }
        let (Some(digest), Some(object)) = (parts.whole().await.digest, object) else {
            return Err(self.bucket.door.service.answered("it has all bytes, and made no object of them"));
        };
        self.check(&object, size, checksum).await?;
        Ok(Stored { key: self.key.to_owned(), url, digest, size })
    }

    async fn begin(&self, size: u64, readers: Readers) -> Result<Url, Error> {
        let acl = if readers == Readers::All { "&predefinedAcl=publicRead" } else { "" };
        let (bucket, key, door) = (&self.bucket.name, escaped(self.key), &self.bucket.door);
        let path = format!("upload/storage/v1/b/{bucket}/o?uploadType=resumable&name={key}{acl}");
        let call = Call::new(Method::POST, door.url(&path)?).body("{}").header("content-type", "application/json");
        let call = call.header("x-upload-content-type", "application/octet-stream");
        let call = call.header("x-upload-content-length", &size.to_string());
        let reply = self.bucket.gcp.ask(door, call).await?;
        if reply.status.as_u16() == 404 {
            return Err(Error::new(ErrorKind::Unreachable, format!("bucket `{bucket}` is not there")).hint(format!(
                "make it with `gcloud storage buckets create gs://{bucket}`, or name another with `--bucket`"
            )));
        }
        if !reply.status.is_success() {
            return Err(door.refusal(&reply));
        }
        let session = reply.header("location").and_then(|location| door.base.join(location).ok());
        // Bytes and token go to the server that was asked, and nowhere else.
        let session = session.filter(|session| session.origin() == door.base.origin());
        session.ok_or_else(|| door.service.answered("it does not say where to send the object"))
    }

    /// Sends a piece, which begins at a byte of all, until the session has all of it; the object, when that is the last one.
    async fn piece(
        &self,
        session: &Url,
        part: &Part,
        (start, size): (u64, u64),
        checksum: u32,
    ) -> Result<Option<Value>, Error> {
        let (end, service) = (start + part.bytes.len() as u64, &self.bucket.door.service);
        let (mut at, mut faults) = (start, 0);
        loop {
            self.sent.store(at, Ordering::Relaxed);
            // Where nothing is left to send, it is asked to make the object.
            let range = if at == end { format!("bytes */{size}") } else { format!("bytes {at}-{}/{size}", end - 1) };
            let call = Call::new(Method::PUT, session.clone()).body(part.bytes.slice(in_memory(at - start)..));
            let hash = format!("crc32c={}", STANDARD.encode(checksum.to_be_bytes()));
            // A server that knows of it makes no object of other bytes.
            let call = if end == size { call.header("x-goog-hash", &hash) } else { call };
            match self.taken(call.header("content-range", &range), size, &mut faults).await? {
                Taken::All(object) if end == size => return Ok(Some(object)),
                Taken::All(_) => return Err(of_lie(service.answered("it made an object of a part"))),
                Taken::UpTo(there) if there == end && end < size => return Ok(None),
                Taken::UpTo(there) if (at..=end).contains(&there) => {
                    faults = if there > at { 0 } else { faults + 1 };
                    at = there;
                }
                Taken::UpTo(there) => {
                    return Err(service.answered(&format!("it has {there} bytes, when {at} to {end} were sent")));
                }
            }
            if faults >= TRIES {
                return Err(service.answered("it takes no more bytes"));
            }
        }
    }

    /// What the session has when some bytes were sent; after a fault it is asked.
    async fn taken(&self, call: Call, size: u64, faults: &mut u32) -> Result<Taken, Error> {
        let (gcp, door) = (self.bucket.gcp, &self.bucket.door);
        let asking = Call { body: bytes::Bytes::new(), ..call.clone() };
        let asking = asking.header("content-range", &format!("bytes */{size}"));
        let mut attempt = door.service.attempt(gcp.shown(door, call).await?, &self.sent).await;
        loop {
            let (asked, delay) = match attempt {
                Attempt::Final(Ok(reply)) if reply.status.as_u16() == 401 && gcp.tokens.forget() => (Ok(reply), None),
                Attempt::Final(asked) => return self.said(&asked?),
                Attempt::Passing(asked, delay) => (asked, delay),
            };
            *faults += 1;
            if *faults >= TRIES {
                return self.said(&asked?);
            }
            pause(*faults, delay).await;
            attempt = door.service.attempt(gcp.shown(door, asking.clone()).await?, &self.sent).await;
        }
    }

    fn said(&self, reply: &Reply) -> Result<Taken, Error> {
        let door = &self.bucket.door;
        match reply.status.as_u16() {
            // `Range: bytes=0-N`, and nothing where it has nothing.
            308 => {
                let last = reply.header("range").map(|range| range.strip_prefix("bytes=0-").and_then(digits));
                let there = last.map_or(Some(0), |last| last?.checked_add(1));
                there.map(Taken::UpTo).ok_or_else(|| door.service.answered("it does not say how much it has"))
            }
            200 | 201 => Ok(Taken::All(serde_json::from_slice(&reply.body).unwrap_or_default())),
            404 | 410 => Err(door.service.answered("the upload has ended there").hint("push it again")),
            _ => Err(door.refusal(reply)),
        }
    }

    /// Looks whether the object is what was sent; removes it when it is not.
    async fn check(&self, object: &Value, size: u64, checksum: u32) -> Result<(), Error> {
        let said = object["size"].as_str().and_then(digits).or_else(|| object["size"].as_u64());
        let (bucket, crc) = (self.bucket, STANDARD.encode(checksum.to_be_bytes()));
        let lie = match (said, object["crc32c"].as_str()) {
            (Some(said), _) if said != size => format!("the object has {said} bytes, not {size}"),
            (Some(_), Some(said)) if said == crc => return Ok(()),
            (Some(_), Some(_)) => "the object has other bytes than were sent".to_owned(),
            _ => "it does not say what the object has".to_owned(),
        };
        // The object that was made, and not one that somebody else has put there since.
        let generation = object["generation"].as_str().and_then(digits);
        let query = generation.map(|generation| format!("?generation={generation}")).unwrap_or_default();
        let path = format!("storage/v1/b/{}/o/{}{query}", bucket.name, escaped(self.key));
        let removed = bucket.gcp.ask(&bucket.door, Call::new(Method::DELETE, bucket.door.url(&path)?)).await;
        let error = of_lie(bucket.door.service.answered(&lie));
        Err(match removed {
            Ok(reply) if reply.status.is_success() => error,
            _ => error.hint(format!("remove it by hand: `gcloud storage rm {}`", bucket.url_of(self.key))),
        })
    }

    /// Ends the session. One that is left costs nothing, so nothing is told of it.
    fn cancel(&self) {
        let Some(session) = self.session.get() else { return };
        let (gcp, door) = (self.bucket.gcp, &self.bucket.door);
        let call = Call::new(Method::DELETE, session.clone());
        door.service.clean_up(async { gcp.ask(door, call).await.map(drop) });
    }
}
