//! Objects in buckets of S3, and of stores that speak its protocol.
//!
//! # Format
//! "Amazon Simple Storage Service API Reference": CreateMultipartUpload, UploadPart, CompleteMultipartUpload,
//! AbortMultipartUpload, HeadObject. Each part has a CRC-32C among its headers, which are signed; the object has that of all.
//!
//! # Invariants
//! - The object appears when all parts are there, or not at all: an upload that fails or is interrupted is aborted. One that a
//!   push left which was killed is taken up by the next push of the same bytes ([`left`]).
//! - What the store says of parts and of the object must be what was sent; an object of which it says something else is
//!   removed.

mod left;

use std::sync::atomic::Ordering;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, Url};

use self::left::Wanted;
use super::parts::{AT_ONCE, IN_FLIGHT, Part, Parts, Whole, watched};
use super::service::{Call, Reply, Sent, Service, address};
use super::sigv4::{Payload, Signer, escaped, escaped_path};
use super::{Aws, Error, Step, now, xml};
use crate::base::{Digest, ErrorKind, MIB, shown_size};
use crate::extent::SharedSource;

/// Bytes of a part, unless that makes too many.
const PART: u64 = 8 * MIB;
/// Most parts of an object ("Amazon S3 multipart upload limits").
const MOST_PARTS: u64 = 10_000;
/// Largest part: all that are in memory have three quarters of what the program may take, which is 96 MiB.
const LARGEST_PART: u64 = 72 * MIB / IN_FLIGHT;
/// Longest `ETag` that is taken over from an answer, in bytes.
const LONGEST_ETAG: usize = 256;
/// How often an upload is completed anew that the store failed to.
const COMPLETIONS: u32 = 3;

/// A bucket.
pub struct Bucket {
    aws: Aws,
    service: Service,
    signer: Signer,
    name: String,
    base: Url,
}

/// An object that was put into a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its name.
    pub key: String,
    /// Where it is, such as `s3://bucket/key`.
    pub url: String,
    /// Of its bytes.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
}

/// A part that is there.
struct Taken {
    number: u32,
    etag: String,
    checksum: u32,
}

/// Looks whether an object may have this name.
///
/// # Errors
/// When it may not.
pub(super) fn check_key(key: &str) -> Result<(), Error> {
    let has_dots = key.split('/').any(|segment| matches!(segment, "" | "." | ".."));
    if has_dots || key.len() > 1024 || key.chars().any(char::is_control) {
        return Err(Error::usage(format!("no object can have the name `{key}`"))
            .hint("name it with `--img-name`; parts between slashes must not be empty, `.` or `..`"));
    }
    Ok(())
}

/// Bytes of a part of an object, and how many there are.
///
/// # Errors
/// When it is too large.
fn part_size(size: u64) -> Result<u64, Error> {
    let needed = size.div_ceil(MOST_PARTS).next_multiple_of(MIB).max(PART);
    if needed > LARGEST_PART {
        let most = shown_size(LARGEST_PART * MOST_PARTS);
        return Err(Error::new(ErrorKind::Unsupported, format!("{} are too many for one object", shown_size(size)))
            .hint(format!("lkit pushes {most} at most, in parts that it has in memory")));
    }
    Ok(needed)
}

impl Bucket {
    /// The bucket of this name; nothing is connected to yet.
    ///
    /// # Errors
    /// When no bucket can have the name.
    pub fn new(aws: Aws, name: &str) -> Result<Self, Error> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if !(3..=255).contains(&name.len()) || !name.bytes().all(is_name) || name.contains("..") {
            return Err(Error::usage(format!("no bucket can have the name `{name}`"))
                .hint("write the name alone, without `s3://` and without a path"));
        }
        let base = match aws.endpoint("s3")? {
            Some(endpoint) => format!("{}/{name}/", endpoint.as_str().trim_end_matches('/')),
            // The certificate is for one label in front.
            None if name.contains('.') => format!("https://s3.{}.{}/{name}/", aws.region, aws.domain()),
            None => format!("https://{name}.s3.{}.{}/", aws.region, aws.domain()),
        };
        let base = address(&base, "bucket")?;
        let service = Service::new(&base, &aws.surroundings, aws.secrets())?;
        Ok(Self { signer: aws.signer("s3"), service, name: name.to_owned(), base, aws })
    }

    /// The account that it is of.
    pub fn aws(&self) -> &Aws {
        &self.aws
    }

    /// What pushing comes to, in words: a line for each step.
    ///
    /// # Errors
    /// As [`put`](Self::put) has them before it asks anybody.
    pub fn plan(&self, key: &str, size: u64) -> Result<String, Error> {
        check_key(key)?;
        let part = part_size(size)?;
        let count = size.div_ceil(part).max(1);
        Ok(format!("PUT {} ({size} bytes in {count} parts)\n", self.url_of(key)))
    }

    /// The URL of an object for people.
    pub fn url_of(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.name)
    }

    /// Puts an object there, over what has its name.
    ///
    /// # Errors
    /// When that fails, is interrupted, or takes longer than `limit`; then the bucket is as it was.
    pub fn put(&self, key: &str, source: &SharedSource, limit: Duration) -> Result<Stored, Error> {
        check_key(key)?;
        let part = part_size(source.size())?;
        let upload = Upload { bucket: self, key, id: OnceLock::new(), sent: Sent::default(), taken: Mutex::default() };
        let url = self.url_of(key);
        let sending = watched(upload.send(source, part), (&url, source.size()), &upload.sent, &self.aws.surroundings);
        let put = self.service.wait(&url, limit, sending);
        put.map_err(|error| upload.taken_back(error))
    }

    fn url(&self, key: &str, query: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{}", self.base.path(), escaped_path(key)));
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        url
    }

    async fn ask(&self, call: &Call, payload: Payload, sent: &Sent) -> Result<Reply, Error> {
        self.service.call(&|| self.signer.sign(call.clone(), payload, now()), sent).await
    }

    /// The error of an answer that says no.
    fn refusal(&self, reply: &Reply) -> Error {
        let complaint = xml::complaint(&reply.text());
        let (bucket, region) = (&self.name, &self.aws.region);
        let answer = format!("{} {} {}", reply.status.as_u16(), complaint.code, complaint.message);
        let there = reply.header("x-amz-bucket-region").map(str::to_owned).or(complaint.region);
        match (reply.status.as_u16(), complaint.code.as_str()) {
            (_, "NoSuchBucket") => Error::new(ErrorKind::Unreachable, format!("bucket `{bucket}` is not there")).hint(
                format!("make it with `aws s3 mb s3://{bucket} --region {region}`, or name another with `--bucket`"),
            ),
            (301 | 307, _)
            | (_, "AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException") => {
                let there = there.filter(|there| there != region).map(|there| self.service.told(&there));
                let message = format!("bucket `{bucket}` is not in region `{region}`");
                let hint = there.map_or("name its region with `--region`".to_owned(), |there| {
                    format!("it is in another one: add `--region {there}`")
                });
                Error::new(ErrorKind::Unreachable, message).hint(hint)
            }
            (_, "NoSuchUpload") => self.service.answered(&answer).hint(
                "another push of it may have ended the upload: look whether the object is there, or push it again",
            ),
            (status, code) => refusal(&self.service, (status, code), &answer),
        }
    }
}

/// The error of an answer that says no, in words that all services of AWS have.
pub(super) fn refusal(service: &Service, (status, code): (u16, &str), answer: &str) -> Error {
    match (status, code) {
        (_, "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture") => {
            let message = format!(
                "the clock of this machine is not that of `{}`, which therefore refuses what it signs",
                service.name()
            );
            Error::new(ErrorKind::Denied, message).hint("set the clock, as with `timedatectl set-ntp true`")
        }
        (_, "ExpiredToken" | "ExpiredTokenException") => {
            Error::new(ErrorKind::Denied, "the keys for AWS have expired").hint("log in again, as with `aws sso login`")
        }
        (401 | 403, _) | (_, "AuthFailure" | "UnauthorizedOperation") => {
            let message = format!("`{}` refused access: {}", service.name(), service.told(answer));
            Error::new(ErrorKind::Denied, message)
                .hint("check which keys are used with `aws sts get-caller-identity`, and what they may do")
        }
        _ => service.answered(answer),
    }
}

/// An object on its way.
struct Upload<'a> {
    bucket: &'a Bucket,
    key: &'a str,
    /// What the store calls the upload, from when it has begun.
    id: OnceLock<String>,
    sent: Sent,
    taken: Mutex<Vec<Taken>>,
}

impl Upload<'_> {
    async fn send(&self, source: &SharedSource, part: u64) -> Result<Stored, Error> {
        let id = self.taken_up(source, part).await?;
        let _ = self.id.set(if let Some(id) = id { id } else { self.begin().await? });
        let (parts, url) = (Parts::read(source.clone(), part), self.bucket.url_of(self.key));
        let worker = || async {
            while let Some(part) = parts.next(&url).await? {
                self.part(part).await?;
            }
            Ok(())
        };
        const { assert!(AT_ONCE == 2) };
        tokio::try_join!(worker(), worker())?;
        let whole = parts.whole().await;
        let digest = whole.digest.ok_or_else(|| Error::new(ErrorKind::Io, format!("cannot read `{url}`")))?;
        self.complete(&whole).await?;
        self.check(source.size()).await?;
        Ok(Stored { key: self.key.to_owned(), url, digest, size: source.size() })
    }

    /// An upload of the same bytes that an earlier push left, with its parts.
    async fn taken_up(&self, source: &SharedSource, part: u64) -> Result<Option<String>, Error> {
        let found = self.bucket.left(&Wanted { key: self.key, source, part }).await?;
        let (told, url) = (&self.bucket.aws.surroundings.told, self.bucket.url_of(self.key));
        if let Some(other) = found.other {
            let hint = self.how_to_abort(&other);
            told(Step::Noted(&format!("another upload to `{url}` is left alone; unless it is under way, {hint}")));
        }
        let Some((id, parts)) = found.same else { return Ok(None) };
        let count = source.size().div_ceil(part).max(1);
        told(Step::Noted(&format!("goes on with an upload that was left: {} of {count} parts are there", parts.len())));
        *self.taken() = parts;
        Ok(Some(id))
    }

    /// Whether a part is there that was taken up. One that has other bytes by now is forgotten, and sent.
    fn is_there(&self, number: u32, checksum: u32) -> bool {
        let mut taken = self.taken();
        let at = taken.iter().position(|part| part.number == number);
        let is_there = at.is_some_and(|at| taken[at].checksum == checksum);
        if let Some(at) = at.filter(|_| !is_there) {
            taken.swap_remove(at);
        }
        is_there
    }

    async fn begin(&self) -> Result<String, Error> {
        let call = Call::new(Method::POST, self.bucket.url(self.key, "uploads="));
        let call = call.header("content-type", "application/octet-stream").header("x-amz-checksum-algorithm", "CRC32C");
        let reply = self.bucket.ask(&call, Payload::Signed, &self.sent).await?;
        if !reply.status.is_success() {
            return Err(self.bucket.refusal(&reply));
        }
        let id = xml::text(&reply.text(), &["UploadId"]).filter(|id| !id.is_empty());
        id.ok_or_else(|| self.bucket.service.answered("it does not say what it calls the upload"))
    }

    async fn part(&self, part: Part) -> Result<(), Error> {
        let checksum = part.checksum;
        if self.is_there(part.number, checksum) {
            self.sent.fetch_add(part.bytes.len() as u64, Ordering::Relaxed);
            return Ok(());
        }
        let text = STANDARD.encode(checksum.to_be_bytes());
        let query = format!("partNumber={}&uploadId={}", part.number, self.escaped_id());
        let call = Call::new(Method::PUT, self.bucket.url(self.key, &query));
        let call = call.header("x-amz-checksum-crc32c", &text).body(part.bytes);
        let reply = self.bucket.ask(&call, Payload::Unsigned, &self.sent).await?;
        if !reply.status.is_success() {
            return Err(self.bucket.refusal(&reply));
        }
        let wrong = |what: &str| self.bucket.service.answered(&format!("{what} of part {}", part.number));
        if reply.header("x-amz-checksum-crc32c").is_some_and(|said| said != text) {
            return Err(of_lie(wrong("it has other bytes than were sent")));
        }
        let etag = reply.header("etag").filter(|etag| !etag.is_empty() && etag.len() <= LONGEST_ETAG);
        let etag = etag.ok_or_else(|| wrong("it gives no `ETag`"))?.to_owned();
        self.taken().push(Taken { number: part.number, etag, checksum });
        Ok(())
    }

    /// Makes the object of its parts.
    async fn complete(&self, whole: &Whole) -> Result<(), Error> {
        let (body, combined, count) = {
            let mut taken = self.taken();
            taken.sort_by_key(|part| part.number);
            let all: Vec<u8> = taken.iter().flat_map(|part| part.checksum.to_be_bytes()).collect();
            let lines = taken.iter().map(|Taken { number, etag, checksum }| {
                let (etag, checksum) = (xml::escaped(etag), STANDARD.encode(checksum.to_be_bytes()));
                format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag><ChecksumCRC32C>{checksum}</ChecksumCRC32C></Part>")
            });
            let body = lines.collect::<String>();
            (format!("<CompleteMultipartUpload>{body}</CompleteMultipartUpload>"), crc32c::crc32c(&all), taken.len())
        };
        let call = Call::new(Method::POST, self.bucket.url(self.key, &format!("uploadId={}", self.escaped_id())));
        let call = call.header("content-type", "application/xml").body(body);
        let mut reply = self.bucket.ask(&call, Payload::Signed, &self.sent).await?;
        // It may answer that all is well, and then that it is not, since it keeps the connection with spaces meanwhile.
        for _ in 1..COMPLETIONS {
            if xml::root(&reply.text()).as_deref() != Some("Error")
                || xml::complaint(&reply.text()).code != "InternalError"
            {
                break;
            }
            reply = self.bucket.ask(&call, Payload::Signed, &self.sent).await?;
        }
        let text = reply.text();
        if !reply.status.is_success() || xml::root(&text).as_deref() != Some("CompleteMultipartUploadResult") {
            return Err(self.bucket.refusal(&reply));
        }
        let expected = [
            format!("{}-{count}", STANDARD.encode(combined.to_be_bytes())),
            STANDARD.encode(whole.checksum.to_be_bytes()),
            // Some stores leave the number out.
            STANDARD.encode(combined.to_be_bytes()),
        ];
        match xml::text(&text, &["ChecksumCRC32C"]) {
            Some(said) if !expected.contains(&said) => Err(self
                .removed(of_lie(self.bucket.service.answered("the object has other bytes than were sent")))
                .await),
            _ => Ok(()),
        }
    }

    /// Looks whether the object has the size that it must have.
    async fn check(&self, size: u64) -> Result<(), Error> {
        let call = Call::new(Method::HEAD, self.bucket.url(self.key, ""));
        let reply = self.bucket.ask(&call, Payload::Signed, &self.sent).await?;
        if !reply.status.is_success() {
            let answer = format!("{}, when it was asked for the object that it has just taken", reply.status);
            return Err(self.removed(self.bucket.service.answered(&answer)).await);
        }
        match reply.header("content-length") {
            Some(said) if *said != size.to_string() => {
                let answer = format!("the object has {said} bytes, not {size}");
                Err(self.removed(of_lie(self.bucket.service.answered(&answer))).await)
            }
            _ => Ok(()),
        }
    }

    /// The error, when the object that it is about was removed.
    async fn removed(&self, error: Error) -> Error {
        let call = Call::new(Method::DELETE, self.bucket.url(self.key, ""));
        match self.bucket.ask(&call, Payload::Signed, &self.sent).await {
            Ok(reply) if reply.status.is_success() => error,
            _ => error.hint(format!("remove it by hand: `aws s3 rm {}`", self.bucket.url_of(self.key))),
        }
    }

    /// The error, when what was sent so far is gone.
    fn taken_back(&self, error: Error) -> Error {
        let Some(id) = self.id.get() else { return error };
        let call = Call::new(Method::DELETE, self.bucket.url(self.key, &format!("uploadId={}", self.escaped_id())));
        let is_gone = self.bucket.service.clean_up(async {
            let reply = self.bucket.ask(&call, Payload::Signed, &self.sent).await?;
            // An upload that is not known has left nothing.
            if reply.status.is_success() || reply.status.as_u16() == 404 {
                Ok(())
            } else {
                Err(self.bucket.refusal(&reply))
            }
        });
        if is_gone || error.hint_is_set() {
            return error;
        }
        error.hint(self.how_to_abort(id))
    }

    fn how_to_abort(&self, id: &str) -> String {
        let (bucket, key, id) = (&self.bucket.name, self.key, self.bucket.service.told(id));
        format!(
            "parts are left in the bucket, which cost money: `aws s3api abort-multipart-upload --bucket {bucket} --key '{key}' \
             --upload-id {id}`"
        )
    }

    fn escaped_id(&self) -> String {
        escaped(self.id.get().map_or("", String::as_str))
    }

    fn taken(&self) -> std::sync::MutexGuard<'_, Vec<Taken>> {
        // A part is added whole, so a panic elsewhere does not spoil the list.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error of a store that has something else than was sent.
pub(super) fn of_lie(error: Error) -> Error {
    error.of_kind(ErrorKind::Corrupt).hint("something between may be at fault, such as a proxy; try again")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Fault as _;

    #[test]
    fn parts_fit_into_memory_and_are_not_too_many() {
        let gib = 1 << 30;
        assert_eq!(part_size(0).unwrap(), 8 * MIB);
        assert_eq!(part_size(78 * gib).unwrap(), 8 * MIB);
        assert_eq!(part_size(100 * gib).unwrap(), 11 * MIB);
        assert!(part_size(200 * gib).is_err());
        assert_eq!(LARGEST_PART, 18 * MIB);
    }

    #[test]
    fn names_that_urls_would_change_are_refused() {
        for key in ["a/b.raw", "a b", "ü", ".a"] {
            assert!(check_key(key).is_ok(), "{key}");
        }
        for key in ["", "/a", "a//b", "a/../b", ".", "a/", "a\nb"] {
            assert_eq!(check_key(key).unwrap_err().kind(), ErrorKind::Usage, "{key}");
        }
    }
}
