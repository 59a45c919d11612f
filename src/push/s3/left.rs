//! Uploads that are in a bucket already: those that a push left which was killed before it could take them back.
//!
//! # Format
//! "Amazon Simple Storage Service API Reference": ListMultipartUploads, ListParts. A part is known by the CRC-32C that the
//! store lists for it; where it lists none, by its `ETag`, which is then the MD5 of its bytes.
//!
//! # Invariants
//! - An upload is taken up when it has parts, and each is what would be sent. Any other one is left alone, since it may be
//!   somebody else's that is under way.
//! - Where a store lists no uploads, or not for this account, the push begins anew.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use reqwest::Method;

use super::{Bucket, LONGEST_ETAG, MOST_PARTS, Taken};
use crate::base::in_memory;
use crate::extent::{ReadError, SharedSource};
use crate::push::service::{Call, Sent};
use crate::push::sigv4::{Payload, escaped};
use crate::push::{Error, digits, xml};

/// Most uploads of one object that are looked at, the newest first.
const LOOKED_AT: usize = 4;
/// Parts that are asked for at once: their list fits an answer.
const PAGE: usize = 200;
/// What lkit's own uploads have checksums by.
const ALGORITHM: &str = "CRC32C";

/// What is to be sent, and in which parts.
pub(super) struct Wanted<'a> {
    pub key: &'a str,
    pub source: &'a SharedSource,
    /// Bytes of a part.
    pub part: u64,
}

/// Uploads of an object.
#[derive(Default)]
pub(super) struct Found {
    /// One of the same bytes, with its parts.
    pub same: Option<(String, Vec<Taken>)>,
    /// One of others.
    pub other: Option<String>,
}

/// An upload as it is listed.
struct Upload {
    id: String,
    begun: String,
    algorithm: String,
}

/// A part as it is listed.
struct Part {
    number: u64,
    size: u64,
    etag: String,
    checksum: Option<String>,
}

impl Bucket {
    /// The uploads of an object that are neither completed nor aborted.
    ///
    /// # Errors
    /// When the store cannot be reached, or what is to be sent cannot be read.
    pub(super) async fn left(&self, wanted: &Wanted<'_>) -> Result<Found, Error> {
        let mut found = Found::default();
        for upload in self.uploads(wanted.key).await? {
            let parts = self.parts(wanted.key, &upload.id).await?;
            if parts.as_ref().is_some_and(Vec::is_empty) {
                continue;
            }
            let parts = parts.filter(|_| matches!(upload.algorithm.as_str(), "" | ALGORITHM));
            let taken = match parts {
                Some(parts) => {
                    wanted.taken(parts).await.map_err(|error| Error::unreadable(&self.url_of(wanted.key), error))?
                }
                None => None,
            };
            match taken {
                Some(taken) => {
                    found.same = Some((upload.id, taken));
                    break;
                }
                None => found.other = found.other.or(Some(upload.id)),
            }
        }
        Ok(found)
    }

    async fn uploads(&self, key: &str) -> Result<Vec<Upload>, Error> {
        let query = format!("max-uploads=100&prefix={}&uploads=", escaped(key));
        let Some(text) = self.listed("", &query).await? else { return Ok(Vec::new()) };
        let uploads = xml::each(&text, "Upload", |of| {
            let upload = Upload {
                id: of("UploadId")?,
                begun: of("Initiated").unwrap_or_default(),
                algorithm: of("ChecksumAlgorithm").unwrap_or_default(),
            };
            Some((of("Key")?, upload))
        });
        let uploads =
            uploads.unwrap_or_default().into_iter().filter(|(name, upload)| name == key && !upload.id.is_empty());
        let mut uploads: Vec<_> = uploads.map(|(_, upload)| upload).collect();
        // Times in ISO 8601, which sort as texts do.
        uploads.sort_by(|a, b| b.begun.cmp(&a.begun));
        uploads.truncate(LOOKED_AT);
        Ok(uploads)
    }

    /// The parts of an upload in order; nothing when the store does not list them as it should.
    async fn parts(&self, key: &str, id: &str) -> Result<Option<Vec<Part>>, Error> {
        let mut parts: Vec<Part> = Vec::new();
        loop {
            let after = parts.last().map_or(0, |part| part.number);
            let query = format!("max-parts={PAGE}&part-number-marker={after}&uploadId={}", escaped(id));
            let Some(text) = self.listed(key, &query).await? else { return Ok(None) };
            let more = xml::each(&text, "Part", |of| {
                Some(Part {
                    number: digits(&of("PartNumber")?)?,
                    size: digits(&of("Size")?)?,
                    etag: of("ETag").filter(|etag| !etag.is_empty() && etag.len() <= LONGEST_ETAG)?,
                    checksum: of("ChecksumCRC32C").filter(|text| !text.is_empty()),
                })
            });
            let Some(more) = more else { return Ok(None) };
            let is_last = more.is_empty() || xml::text(&text, &["IsTruncated"]).as_deref() != Some("true");
            for part in more {
                // Numbers that do not grow would never end.
                if part.number <= parts.last().map_or(0, |last| last.number) || part.number > MOST_PARTS {
                    return Ok(None);
                }
                parts.push(part);
            }
            if is_last {
                return Ok(Some(parts));
            }
        }
    }

    /// A list; nothing when the store gives none.
    async fn listed(&self, key: &str, query: &str) -> Result<Option<String>, Error> {
        let call = Call::new(Method::GET, self.url(key, query));
        let reply = self.ask(&call, Payload::Signed, &Sent::default()).await?;
        Ok(reply.status.is_success().then(|| reply.text()))
    }
}

impl Wanted<'_> {
    /// The parts as they stand in an upload of this, when each of them does.
    async fn taken(&self, parts: Vec<Part>) -> Result<Option<Vec<Taken>>, ReadError> {
        let range = |part: &Part| {
            let start = (part.number - 1).saturating_mul(self.part);
            start..start.saturating_add(self.part).min(self.source.size())
        };
        let has_size = |part: &Part| range(part).end.checked_sub(range(part).start) == Some(part.size) && part.size > 0;
        if !parts.iter().all(has_size) {
            return Ok(None);
        }
        let mut taken = Vec::new();
        for part in parts {
            let (source, range) = (self.source.clone(), range(&part));
            // A source may wait for the network itself.
            let read = tokio::task::spawn_blocking(move || {
                let mut bytes = vec![0; in_memory(range.end - range.start)];
                source.read_at(&mut bytes, range.start).map(|()| part.known(&bytes))
            });
            let Some(part) = read.await.unwrap_or(Ok(None))? else { return Ok(None) };
            taken.push(part);
        }
        Ok(Some(taken))
    }
}

impl Part {
    /// The part, when it has these bytes.
    fn known(self, bytes: &[u8]) -> Option<Taken> {
        let checksum = crc32c::crc32c(bytes);
        let is_same = match &self.checksum {
            Some(said) => *said == STANDARD.encode(checksum.to_be_bytes()),
            None => self.etag.trim_matches('"') == base16ct::lower::encode_string(&Md5::digest(bytes)),
        };
        let number = u32::try_from(self.number).ok()?;
        is_same.then_some(Taken { number, etag: self.etag, checksum })
    }
}
