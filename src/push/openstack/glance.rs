//! Images of Glance, OpenStack's image service.
//!
//! # Format
//! "Image Service API v2": Create image, Upload binary image data, Show image, Delete image.
//!
//! # Invariants
//! - The image gets its identifier here, so that it can be deleted whatever answer is lost: what fails or is interrupted is.
//! - What Glance says of size and hash must be what was sent.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::{Method, Url};
use serde_json::{Map, Value};

use super::OpenStack;
use super::keystone::{Session, refusal};
use super::stream::{Streamed, Sums};
use crate::extent::SharedSource;
use crate::oci::Setback;
use crate::push::parts::watched;
use crate::push::s3::of_lie;
use crate::push::service::{Call, Reply, Sent, Service};
use crate::push::{Error, Step, Stored, mark};

/// How often it is asked whether an image is ready.
const POLL: Duration = Duration::from_secs(2);

/// What the ends of names are for Glance.
const FORMATS: [(&str, &str); 7] = [
    (".qcow2", "qcow2"),
    (".img", "raw"),
    (".raw", "raw"),
    (".iso", "iso"),
    (".vhd", "vhd"),
    (".vhdx", "vhdx"),
    (".vmdk", "vmdk"),
];
/// Properties that a push gives itself, or that would not let it be taken back.
const OURS: [&str; 5] = ["container_format", "disk_format", "id", "name", "protected"];
/// Properties that are numbers.
const NUMBERS: [&str; 2] = ["min_disk", "min_ram"];

/// What an image is to be.
#[derive(Clone, Debug, Default)]
pub struct GlanceImageOptions {
    /// Its name, which others may have, too.
    pub name: String,
    /// The end of the file's name, with the dot, which tells the format.
    pub end: String,
    /// Whether it starts by UEFI.
    pub uefi: bool,
    /// Properties as `KEY=VALUE`.
    pub properties: Vec<String>,
}

/// An image that is to be.
pub struct GlanceImage {
    /// What it is known by.
    id: String,
    name: String,
    body: Value,
}

/// Glance in a cloud.
pub struct Glance<'a> {
    cloud: &'a OpenStack,
    keystone: Service,
}

impl GlanceImage {
    /// An image, which is checked before anything is pushed.
    ///
    /// # Errors
    /// When Glance takes no such format, or a property is none.
    pub fn new(options: GlanceImageOptions) -> Result<Self, Error> {
        let GlanceImageOptions { name, end, uefi, properties } = options;
        let format = FORMATS.iter().find(|(of, _)| *of == end).map(|(_, format)| *format).ok_or_else(|| {
            let ends = FORMATS.map(|(end, _)| end).join(", ");
            Error::usage(format!("OpenStack takes no file that ends in `{end}`, but {ends}"))
                .hint("name a format of such a file with `--format`")
        })?;
        if name.is_empty() || name.chars().count() > 255 {
            return Err(Error::usage("a name of an image has 1 to 255 characters").hint("name it with `--img-name`"));
        }
        let id = mark(&name);
        let mut body = Map::new();
        let own = [("id", id.as_str()), ("name", &name), ("disk_format", format), ("container_format", "bare")];
        body.extend(own.map(|(key, value)| (key.to_owned(), value.into())));
        body.extend(uefi.then(|| ("hw_firmware_type".to_owned(), "uefi".into())));
        for property in properties {
            let (key, value) = property.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or_else(|| {
                Error::usage(format!("`{property}` is no property")).hint("write it as `--property KEY=VALUE`")
            })?;
            if OURS.contains(&key) {
                return Err(Error::usage(format!("property `{key}` cannot be given"))
                    .hint("set it when the image is there, with `openstack image set`"));
            }
            let number = NUMBERS.contains(&key).then(|| value.parse::<u32>().ok()).flatten();
            body.insert(key.to_owned(), number.map_or_else(|| value.into(), Value::from));
        }
        Ok(Self { id, name, body: body.into() })
    }

    /// What pushing it comes to, in words: a line for each step.
    pub fn plan(&self, cloud: &OpenStack, size: u64) -> String {
        let mut body = self.body.clone();
        body.as_object_mut().map(|body| body.shift_remove("id"));
        format!(
            "POST {}/auth/tokens\nPOST /v2/images {body}\nPUT /v2/images/ID/file ({size} bytes)\nGET /v2/images/ID, until it is active\n",
            cloud.auth
        )
    }
}

impl<'a> Glance<'a> {
    /// Glance in a cloud; nothing is connected to yet.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(cloud: &'a OpenStack) -> Result<Self, Error> {
        Ok(Self { cloud, keystone: cloud.keystone()? })
    }

    /// Makes an image of an artifact.
    ///
    /// # Errors
    /// When that fails, is interrupted, or takes longer than `limit`; then there is no such image.
    pub fn put(&self, image: &GlanceImage, source: &SharedSource, limit: Duration) -> Result<Stored, Error> {
        let session = self.keystone.wait(&image.name, limit, self.cloud.session(&self.keystone))?;
        let secrets = [self.cloud.secrets.clone(), vec![session.token.clone()]].concat();
        let service = Service::trusting(&session.images, &self.cloud.trust, &self.cloud.surroundings, secrets)?;
        let (has_begun, sent) = (AtomicBool::new(false), Sent::default());
        let upload = Upload { cloud: self.cloud, service, session, image, has_begun, sent };
        let name = (image.name.as_str(), source.size());
        let sending = watched(upload.send(source), name, &upload.sent, &self.cloud.surroundings);
        upload.service.wait(&image.name, limit, sending).map_err(|error| upload.taken_back(error))
    }
}

/// An image on its way.
struct Upload<'a> {
    cloud: &'a OpenStack,
    service: Service,
    session: Session,
    image: &'a GlanceImage,
    /// Whether the image may be there.
    has_begun: AtomicBool,
    sent: Sent,
}

impl Upload<'_> {
    async fn send(&self, source: &SharedSource) -> Result<Stored, Error> {
        self.create().await?;
        let sums = self.upload(source).await?;
        let size = source.size();
        self.check(&sums, size).await?;
        let url = self.url("").to_string();
        Ok(Stored { key: self.image.id.clone(), url, digest: sums.sha256, size })
    }

    async fn create(&self) -> Result<(), Error> {
        let url = self.images("");
        let call =
            self.call(Method::POST, url).header("content-type", "application/json").body(self.image.body.to_string());
        self.has_begun.store(true, Ordering::Relaxed);
        let reply = self.ask(&call).await?;
        // An answer may have been lost, and the question have been asked again: nobody else has the identifier.
        if reply.status.as_u16() == 409 && self.show().await?["status"] == "queued" {
            return Ok(());
        }
        let answer = self.good(&reply)?;
        if answer["id"] == self.image.id.as_str() {
            return Ok(());
        }
        Err(self.service.answered("the image does not have the `id` that it was given"))
    }

    async fn upload(&self, source: &SharedSource) -> Result<Sums, Error> {
        let streamed = Streamed::new(source);
        let call = self.call(Method::PUT, self.url("/file")).header("content-type", "application/octet-stream");
        let body = |counted: &Sent| match streamed.end() {
            Some(Err(error)) => Err(Setback::Unusable(error.to_string())),
            _ => Ok(streamed.body(counted, &self.sent)),
        };
        let reply = self.service.stream(&call, source.size(), body, &self.sent).await;
        match streamed.end() {
            Some(Err(error)) => Err(Error::unreadable(&self.image.name, error)),
            Some(Ok(sums)) => {
                let reply = reply?;
                if reply.status.is_success() { Ok(sums) } else { Err(self.refusal(&reply)) }
            }
            None => Err(match reply {
                Ok(reply) if !reply.status.is_success() => self.refusal(&reply),
                Ok(_) => self.service.answered("all is well, before all was sent"),
                Err(error) => error,
            }),
        }
    }

    /// Waits until the image is ready, and looks whether it is what was sent.
    async fn check(&self, sums: &Sums, size: u64) -> Result<(), Error> {
        let image = loop {
            let image = self.show().await?;
            match image["status"].as_str().unwrap_or_default() {
                "active" => break image,
                "saving" | "importing" | "uploading" => {}
                other => {
                    let status = self.service.told(other);
                    return Err(self.service.answered(&format!("the image has the status `{status}`, not `active`")));
                }
            }
            (self.cloud.surroundings.told)(Step::Waiting { on: "the image of OpenStack", percent: 0 });
            tokio::time::sleep(POLL).await;
        };
        if image["size"] != size {
            return Err(of_lie(self.service.answered(&format!("the image has {} bytes, not {size}", image["size"]))));
        }
        let is_other = match image["os_hash_algo"].as_str() {
            Some("sha512") => image["os_hash_value"] != sums.sha512.as_str(),
            Some("sha256") => image["os_hash_value"] != sums.sha256.hex().as_str(),
            _ => false,
        };
        if is_other { Err(of_lie(self.service.answered("the image has other bytes than were sent"))) } else { Ok(()) }
    }

    /// The error, when the image is gone.
    fn taken_back(&self, error: Error) -> Error {
        let is_gone = !self.has_begun.load(Ordering::Relaxed)
            || self.service.clean_up(async {
                let reply = self.ask(&self.call(Method::DELETE, self.url(""))).await?;
                if reply.status.as_u16() == 404 { Ok(()) } else { self.good(&reply).map(drop) }
            });
        if is_gone || error.hint_is_set() {
            return error;
        }
        error.hint(format!("the image may be left: `openstack image delete {}`", self.image.id))
    }

    async fn show(&self) -> Result<Value, Error> {
        self.good(&self.ask(&self.call(Method::GET, self.url(""))).await?)
    }

    fn good(&self, reply: &Reply) -> Result<Value, Error> {
        if reply.status.is_success() {
            return Ok(serde_json::from_slice(&reply.body).unwrap_or_default());
        }
        Err(self.refusal(reply))
    }

    fn refusal(&self, reply: &Reply) -> Error {
        refusal(&self.service, reply, &Value::Null)
    }

    async fn ask(&self, call: &Call) -> Result<Reply, Error> {
        self.service.call(&|| call.clone(), &Sent::default()).await
    }

    fn call(&self, method: Method, url: Url) -> Call {
        Call::new(method, url).secret("x-auth-token", &self.session.token)
    }

    /// The address of the image, or of something below it.
    fn url(&self, below: &str) -> Url {
        self.images(&format!("/{}{below}", self.image.id))
    }

    /// The address of all images, or of something below it.
    fn images(&self, below: &str) -> Url {
        let mut url = self.session.images.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        // Some catalogs tell the version, most do not.
        let version = if base.ends_with("/v2") { "" } else { "/v2" };
        url.set_path(&format!("{base}{version}/images{below}"));
        url
    }
}
