//! Page blobs of a storage account, which Azure starts disks from.
//!
//! # Format
//! "Azure Storage services REST API Reference": Put Blob, Put Page, Get Blob Properties, Delete Blob, Create Container. Each
//! range has its MD5 among the headers. The blob is a fixed VHD ("Prepare a VHD to upload to Azure").
//!
//! # Invariants
//! - A blob that is there is not touched, unless the user says so; what fails or is interrupted is deleted. Each push
//!   writes a mark of its own into the metadata of its blob, and deletes a blob only if that mark is there.
//! - Pages that are zero are not sent.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use reqwest::{Method, Url};

use super::manager::Manager;
use super::pages::{PAGE, Pages, Run};
use super::shared_key::StorageKey;
use super::{Access, Azure};
use crate::base::{ErrorKind, MIB, in_memory, shown_size};
use crate::extent::SharedSource;
use crate::push::parts::watched;
use crate::push::s3::{check_key, of_lie};
use crate::push::service::{Call, Reply, Sent, Service};
use crate::push::sigv4::escaped_path;
use crate::push::{Error, Stored, mark, xml};

/// The version of the protocol that is spoken.
const VERSION: &str = "2021-12-02";
/// Bytes of a VHD's footer ("Virtual Hard Disk Image Format Specification").
const FOOTER: u64 = 512;
/// Largest page blob ("Scalability and performance targets for Blob storage").
const LARGEST: u64 = 8 << 40;

/// What a page blob is to be.
#[derive(Clone, Debug, Default)]
pub struct PageBlobOptions {
    /// The container, which is made when it is not there.
    pub container: String,
    /// Its name.
    pub name: String,
    /// Whether one that is there is replaced.
    pub overwrite: bool,
}

/// A page blob that is to be.
pub struct PageBlob<'a> {
    azure: &'a Azure,
    options: PageBlobOptions,
    service: Service,
    /// The key of the account, once the resource manager has answered with it.
    key: OnceLock<StorageKey>,
    /// What the blob of this push is known by.
    mark: String,
    /// Whether it may be there.
    has_begun: AtomicBool,
    sent: Sent,
}

/// Looks whether Azure can start what a file holds.
///
/// # Errors
/// When it cannot.
fn check_disk(source: &SharedSource) -> Result<(), Error> {
    let size = source.size();
    let length = FOOTER.min(size);
    let mut footer = vec![0; in_memory(length)];
    let read = source.read_at(&mut footer, size - length);
    read.map_err(|error| Error::unreadable("footer of the VHD", error))?;
    let number = |range: std::ops::Range<usize>| {
        footer.get(range).unwrap_or_default().iter().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte))
    };
    let hint = "write one with `lkit build -f vhd`, or `qemu-img convert -O vpc -o subformat=fixed,force_size=on`";
    let flaw = if !footer.starts_with(b"conectix") {
        "it is no VHD"
    } else if number(60..64) != 2 {
        "it is no fixed VHD, but a dynamic one"
    } else if !(size - FOOTER).is_multiple_of(MIB) || number(48..56) != size - FOOTER {
        "its disk is not of whole MiB, as its footer says"
    } else if size > LARGEST {
        return Err(Error::new(ErrorKind::Unsupported, format!("{} are too many for one page blob", shown_size(size))));
    } else {
        return Ok(());
    };
    Err(Error::usage(format!("Azure starts no such file: {flaw}")).hint(hint))
}

impl Azure {
    /// A page blob; nothing is connected to yet.
    ///
    /// # Errors
    /// When container or blob cannot have their names.
    pub fn blob(&self, options: PageBlobOptions) -> Result<PageBlob<'_>, Error> {
        let container = &options.container;
        let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(3..=63).contains(&container.len()) || !container.bytes().all(is_name) {
            return Err(Error::usage(format!("no container can have the name `{container}`"))
                .hint("it is 3 to 63 lower-case letters, digits and `-`"));
        }
        check_key(&options.name)?;
        let secrets = match &self.access {
            Access::Signature(signature) => {
                signature.split('&').filter_map(|field| field.strip_prefix("sig=")).collect()
            }
            _ => Vec::new(),
        };
        let service =
            Service::new(&self.endpoint, &self.surroundings, secrets.into_iter().map(str::to_owned).collect())?;
        let (key, mark) = (OnceLock::new(), mark(&options.name));
        let (has_begun, sent) = (AtomicBool::new(false), Sent::default());
        Ok(PageBlob { azure: self, options, service, key, mark, has_begun, sent })
    }
}

impl PageBlob<'_> {
    /// Its URL, without what gives access to it.
    pub fn url(&self) -> String {
        self.address(&self.options.name, "").to_string()
    }

    /// What putting it there comes to, in words: a line for each step.
    ///
    /// # Errors
    /// As [`put`](Self::put) has them before it asks anybody.
    pub fn plan(&self, source: &SharedSource) -> Result<String, Error> {
        check_disk(source)?;
        let listed = match (&self.azure.access, &self.azure.group) {
            (Access::Asked, Ok(group)) => {
                format!("POST listKeys of storage account `{}` in `{}`\n", self.azure.account, group.name)
            }
            _ => String::new(),
        };
        Ok(format!("{listed}PUT {} (page blob of {} bytes)\n", self.url(), source.size()))
    }

    /// Puts a fixed VHD there.
    ///
    /// # Errors
    /// When that fails, is interrupted, or takes longer than `limit`; then there is no such blob.
    pub fn put(&self, source: &SharedSource, limit: Duration) -> Result<Stored, Error> {
        check_disk(source)?;
        let url = self.url();
        let sending = watched(self.send(source, &url), (&url, source.size()), &self.sent, &self.azure.surroundings);
        self.service.wait(&url, limit, sending).map_err(|error| self.taken_back(error))
    }

    /// The error, when the blob is gone.
    pub fn taken_back(&self, error: Error) -> Error {
        if !self.has_begun.load(Ordering::Relaxed) || self.service.clean_up(self.delete()) || error.hint_is_set() {
            return error;
        }
        let (container, name, account) = (&self.options.container, &self.options.name, &self.azure.account);
        error.hint(format!(
            "a part of the blob is left: `az storage blob delete --account-name {account} -c {container} -n '{name}'`"
        ))
    }

    async fn send(&self, source: &SharedSource, url: &str) -> Result<Stored, Error> {
        self.get_key().await?;
        self.begin(source.size()).await?;
        let pages = Pages::read(source.clone(), self.sent.clone());
        let worker = || async {
            while let Some(run) = pages.next(url).await? {
                self.write(run).await?;
            }
            Ok(())
        };
        tokio::try_join!(worker(), worker(), worker(), worker())?;
        let digest = pages.digest().await.ok_or_else(|| Error::new(ErrorKind::Io, format!("cannot read `{url}`")))?;
        self.check(source.size()).await?;
        Ok(Stored { key: self.options.name.clone(), url: url.to_owned(), digest, size: source.size() })
    }

    /// Has the resource manager tell a key, where there is no other access.
    async fn get_key(&self) -> Result<(), Error> {
        if let (Access::Asked, Ok(group)) = (&self.azure.access, &self.azure.group) {
            let text = Manager::new(group, &self.azure.surroundings)?.storage_key(&self.azure.account).await?;
            self.service.hide(&text);
            let key = StorageKey::new(&self.azure.account, &text);
            let _ = self.key.set(key.ok_or_else(|| self.service.answered("the key of the storage account is none"))?);
        }
        Ok(())
    }

    /// Makes the blob, and its container where it is not there; all of its pages are zero.
    async fn begin(&self, size: u64) -> Result<(), Error> {
        let call = Call::new(Method::PUT, self.address(&self.options.name, ""))
            .header("x-ms-blob-type", "PageBlob")
            .header("x-ms-blob-content-length", &size.to_string())
            .header("x-ms-blob-content-type", "application/octet-stream")
            .header("x-ms-meta-lkit", &self.mark);
        let call = if self.options.overwrite { call } else { call.header("if-none-match", "*") };
        self.has_begun.store(true, Ordering::Relaxed);
        let mut reply = self.ask(&call).await?;
        if reply.status.as_u16() == 404 && self.code(&reply) == "ContainerNotFound" {
            let made = self.ask(&Call::new(Method::PUT, self.address("", "restype=container"))).await?;
            if !made.status.is_success() && self.code(&made) != "ContainerAlreadyExists" {
                return Err(self.refusal(&made));
            }
            reply = self.ask(&call).await?;
        }
        // An answer may have been lost, and the question have been asked again.
        if reply.status.is_success() || (reply.status.as_u16() == 409 && self.is_ours().await?) {
            return Ok(());
        }
        Err(self.refusal(&reply))
    }

    async fn write(&self, run: Run) -> Result<(), Error> {
        let Run { offset, bytes, md5 } = run;
        debug_assert!(offset.is_multiple_of(PAGE), "pages are written whole");
        let last = offset + bytes.len() as u64 - 1;
        let call = Call::new(Method::PUT, self.address(&self.options.name, "comp=page"))
            .header("x-ms-page-write", "update")
            .header("x-ms-range", &format!("bytes={offset}-{last}"))
            .header("content-md5", &md5)
            .body(bytes);
        let reply = self.ask(&call).await?;
        if !reply.status.is_success() {
            return Err(self.refusal(&reply));
        }
        match reply.header("content-md5") {
            Some(said) if said != md5 => {
                Err(of_lie(self.service.answered(&format!("it has other bytes than were sent at offset {offset}"))))
            }
            _ => Ok(()),
        }
    }

    /// Looks whether the blob is what it must be.
    async fn check(&self, size: u64) -> Result<(), Error> {
        let reply = self.properties().await?;
        if !reply.status.is_success() || !self.has_mark(&reply) {
            let answer = format!("{}, when it was asked for the blob that it has just taken", reply.status);
            return Err(self.service.answered(&answer));
        }
        let said = [reply.header("content-length"), reply.header("x-ms-blob-type")].map(Option::unwrap_or_default);
        if said == [size.to_string().as_str(), "PageBlob"] {
            return Ok(());
        }
        Err(of_lie(self.service.answered(&format!("the blob is a {} of {} bytes, not {size}", said[1], said[0]))))
    }

    /// Deletes the blob if it is that of this push.
    async fn delete(&self) -> Result<(), Error> {
        if !self.is_ours().await? {
            return Ok(());
        }
        let reply = self.ask(&Call::new(Method::DELETE, self.address(&self.options.name, ""))).await?;
        if reply.status.is_success() || reply.status.as_u16() == 404 { Ok(()) } else { Err(self.refusal(&reply)) }
    }

    /// Whether the blob that is there was made by this push.
    async fn is_ours(&self) -> Result<bool, Error> {
        let reply = self.properties().await?;
        match reply.status.as_u16() {
            200 => Ok(self.has_mark(&reply)),
            404 => Ok(false),
            _ => Err(self.refusal(&reply)),
        }
    }

    fn has_mark(&self, reply: &Reply) -> bool {
        reply.header("x-ms-meta-lkit") == Some(&self.mark)
    }

    async fn properties(&self) -> Result<Reply, Error> {
        self.ask(&Call::new(Method::HEAD, self.address(&self.options.name, ""))).await
    }

    fn address(&self, name: &str, query: &str) -> Url {
        let mut url = self.azure.endpoint.clone();
        let path = format!("{}/{}/{}", url.path().trim_end_matches('/'), self.options.container, escaped_path(name));
        url.set_path(path.trim_end_matches('/'));
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        url
    }

    async fn ask(&self, call: &Call) -> Result<Reply, Error> {
        let call = call.clone().header("x-ms-version", VERSION);
        let signed = || match (&self.azure.access, self.key.get()) {
            (Access::Key(key), _) | (Access::Asked, Some(key)) => key.sign(call.clone(), SystemTime::now()),
            (Access::Signature(signature), _) => with_signature(call.clone(), signature),
            (Access::Asked, None) => call.clone(),
        };
        self.service.call(&signed, &self.sent).await
    }

    /// What an answer calls its error.
    fn code(&self, reply: &Reply) -> String {
        let named = reply.header("x-ms-error-code").map(str::to_owned);
        named.unwrap_or_else(|| xml::complaint(&reply.text()).code)
    }

    /// The error of an answer that says no.
    fn refusal(&self, reply: &Reply) -> Error {
        let (text, code, status) = (reply.text(), self.code(reply), reply.status.as_u16());
        let answer = format!("{status} {code} {}", xml::complaint(&text).message);
        let name = self.service.name();
        match (status, code.as_str()) {
            (409, "BlobAlreadyExists") => {
                Error::new(ErrorKind::Busy, format!("blob `{}` is there already", self.url()))
                    .hint("name it otherwise with `--img-name`, or replace it with `--overwrite`")
            }
            // The details of a refused signature tell of the clock in words only.
            (403, _) if text.contains("date header") || text.contains("Date header") => {
                let message =
                    format!("the clock of this machine is not that of `{name}`, which therefore refuses what it signs");
                Error::new(ErrorKind::Denied, message).hint("set the clock, as with `timedatectl set-ntp true`")
            }
            (401 | 403, _) => {
                let message = format!("`{name}` refused access: {}", self.service.told(&answer));
                Error::new(ErrorKind::Denied, message).hint(format!(
                    "check the key or signature of storage account `{}`, and whether its firewall lets this machine in",
                    self.azure.account
                ))
            }
            (400, "Md5Mismatch") => of_lie(self.service.answered(&answer)),
            (412, _) => {
                Error::new(ErrorKind::Busy, format!("blob `{}` is in use: {}", self.url(), self.service.told(&answer)))
                    .hint("name it otherwise with `--img-name`")
            }
            _ => self.service.answered(&answer),
        }
    }
}

fn with_signature(mut call: Call, signature: &str) -> Call {
    let query = call.url.query().map_or_else(|| signature.to_owned(), |query| format!("{query}&{signature}"));
    call.url.set_query(Some(&query));
    call
}
