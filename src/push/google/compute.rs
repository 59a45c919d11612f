//! Images of machines that Google Compute Engine makes of an object in a bucket.
//!
//! # Format
//! "Compute Engine API", version 1: `images.get`, `images.delete`, `images.insert` with `rawDisk.source`, and
//! `globalOperations.get` until an operation is done.
//!
//! # Invariants
//! An image that is not waited for any more, or that could not be made whole, is removed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::{Door, Gcp};
use crate::base::{Digest, ErrorKind};
use crate::push::service::{Call, Reply};
use crate::push::{Error, Step, now};

/// What allows machines within machines.
const NESTED: &str = "projects/vm-options/global/licenses/enable-vmx";
/// How often it is asked how far an operation is.
const POLL: Duration = Duration::from_secs(1);

/// What an image is to be.
#[derive(Clone, Debug, Default)]
pub struct GceImage {
    /// Its name, unique in the project.
    pub name: String,
    /// The family, whose name means its newest image.
    pub family: Option<String>,
    /// Licenses, by their addresses.
    pub licenses: Vec<String>,
    /// Whether its machines can run machines.
    pub nested: bool,
    /// Whether it starts by UEFI.
    pub uefi: bool,
    /// Such as `ARM64`; nothing leaves it to Google.
    pub architecture: Option<&'static str>,
    /// Whether it takes the place of an image of its name.
    pub replace: bool,
}

/// Compute Engine in a project.
pub struct Gce<'a> {
    gcp: &'a Gcp,
    door: Door,
    /// Below the version of the API.
    path: String,
    image: GceImage,
}

impl<'a> Gce<'a> {
    /// An image, which is checked before anything is pushed.
    ///
    /// # Errors
    /// When no project is named, or something cannot have its name.
    pub fn new(gcp: &'a Gcp, image: GceImage) -> Result<Self, Error> {
        let project = gcp.project.as_deref().ok_or_else(|| {
            Error::usage("no project of Google Cloud is named")
                .hint("name it with `--project`, or with `gcloud config set project`")
        })?;
        let is_project = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-:.".contains(&byte);
        if !project.bytes().all(is_project) || project.contains("..") {
            return Err(Error::usage(format!("`{project}` is no project of Google Cloud"))
                .hint("write its identifier, as `gcloud projects list` tells it"));
        }
        check_name(&image.name, "--img-name")?;
        image.family.iter().try_for_each(|family| check_name(family, "--family"))?;
        let is_license =
            |text: &&String| text.contains("licenses/") && text.bytes().all(|byte| byte.is_ascii_graphic());
        if let Some(license) = image.licenses.iter().find(|license| !is_license(license)) {
            return Err(Error::usage(format!("`{license}` is no license of Google Cloud"))
                .hint("write it as `projects/PROJECT/global/licenses/NAME`"));
        }
        Ok(Self { gcp, door: gcp.compute()?, path: format!("projects/{project}/global/"), image })
    }

    /// What making the image comes to, in words: a line for each step.
    pub fn plan(&self, source: &str) -> String {
        let GceImage { name, replace, .. } = &self.image;
        let first =
            if *replace { "DELETE image `{}`, if it is there" } else { "GET image `{}`, which must not be there" };
        format!(
            "{}\nPOST {}{}images {}\nGET its operation, until it is done\n",
            first.replace("{}", name),
            self.door.base,
            self.path,
            self.described(source)
        )
    }

    fn described(&self, source: &str) -> Value {
        let GceImage { name, family, licenses, nested, uefi, architecture, replace: _ } = &self.image;
        let mut image = json!({"name": name, "rawDisk": {"source": source}});
        if let Some(family) = family {
            image["family"] = family.clone().into();
        }
        let licenses: Vec<&str> = licenses.iter().map(String::as_str).chain(nested.then_some(NESTED)).collect();
        if !licenses.is_empty() {
            image["licenses"] = json!(licenses);
        }
        if *uefi {
            image["guestOsFeatures"] = json!([{"type": "UEFI_COMPATIBLE"}]);
        }
        if let Some(architecture) = architecture {
            image["architecture"] = (*architecture).into();
        }
        image
    }

    /// Looks whether the image can be made, before what it is made of is sent.
    ///
    /// # Errors
    /// When there is one of its name that it is not to take the place of, or nobody can be asked.
    pub fn check(&self, limit: Duration) -> Result<(), Error> {
        let name = &self.image.name;
        self.door.service.wait(name, limit, async {
            let reply = self.ask(Method::GET, &format!("images/{name}"), None).await?;
            match reply.status.as_u16() {
                404 => Ok(()),
                200 if self.image.replace => Ok(()),
                200 => Err(self.is_there()),
                _ => Err(self.door.refusal(&reply)),
            }
        })
    }

    fn is_there(&self) -> Error {
        let message = format!("there is an image `{}` already", self.image.name);
        Error::usage(message).hint("name it otherwise with `--img-name`, or replace it with `--replace`")
    }

    /// Makes the image of an object, which `source` is the address of; its name with that of the project.
    ///
    /// # Errors
    /// When that fails, is interrupted, or takes longer than `limit`; then there is no image of the name.
    pub fn insert(&self, source: &str, limit: Duration) -> Result<String, Error> {
        let (name, is_begun) = (&self.image.name, AtomicBool::new(false));
        let made = self.door.service.wait(name, limit, self.made(source, &is_begun));
        made.map_err(|error| if is_begun.load(Ordering::Relaxed) { self.taken_back(error) } else { error })
    }

    async fn made(&self, source: &str, is_begun: &AtomicBool) -> Result<String, Error> {
        let name = &self.image.name;
        if self.image.replace {
            let deleted = self.ask(Method::DELETE, &format!("images/{name}"), None).await?;
            if deleted.status.as_u16() != 404 {
                self.finished(deleted, "the old image to go").await?;
            }
        }
        // The same question that comes twice, since an answer was lost, makes one image.
        let id = Digest::of(format!("{} {source} {} {}", self.path, now(), std::process::id()).as_bytes());
        is_begun.store(true, Ordering::Relaxed);
        let inserted =
            self.ask(Method::POST, &format!("images?requestId={}", id.uuid()), Some(self.described(source))).await?;
        if !inserted.status.is_success() {
            is_begun.store(false, Ordering::Relaxed);
        }
        if inserted.status.as_u16() == 409 {
            return Err(self.is_there());
        }
        self.finished(inserted, "the image of Compute Engine").await?;
        Ok(format!("{}images/{name}", self.path))
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Reply, Error> {
        let mut call = Call::new(method, self.door.url(&format!("{}{path}", self.path))?);
        if let Some(body) = body {
            call = call.header("content-type", "application/json").body(body.to_string());
        }
        self.gcp.ask(&self.door, call).await
    }

    /// Waits for the operation that an answer is about.
    async fn finished(&self, mut reply: Reply, on: &str) -> Result<(), Error> {
        let mut known = None;
        loop {
            if !reply.status.is_success() {
                return Err(self.door.refusal(&reply));
            }
            let operation: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
            if operation["status"] == "DONE" {
                return self.succeeded(&operation);
            }
            let said = operation["name"].as_str().filter(|name| is_operation(name)).map(str::to_owned);
            let name = known.take().or(said);
            let name =
                name.ok_or_else(|| self.door.service.answered("it does not say which operation it has begun"))?;
            let percent = operation["progress"].as_u64().and_then(|percent| u8::try_from(percent.min(100)).ok());
            (self.gcp.surroundings.told)(Step::Waiting { on, percent: percent.unwrap_or(0) });
            tokio::time::sleep(POLL).await;
            reply = self.ask(Method::GET, &format!("operations/{name}"), None).await?;
            known = Some(name);
        }
    }

    fn succeeded(&self, operation: &Value) -> Result<(), Error> {
        if operation["error"].is_null() {
            return Ok(());
        }
        let error = &operation["error"]["errors"][0];
        let text = |name: &str| error[name].as_str().unwrap_or_default();
        let told = self.door.service.told(&format!("{} {}", text("code"), text("message")));
        Err(Error::new(ErrorKind::Unsupported, format!("Compute Engine could not do it: {told}")))
    }

    /// The error, when the image that was begun is gone.
    fn taken_back(&self, error: Error) -> Error {
        let name = &self.image.name;
        let is_gone = self.door.service.clean_up(async {
            let deleted = self.ask(Method::DELETE, &format!("images/{name}"), None).await?;
            if deleted.status.as_u16() == 404 { Ok(()) } else { self.finished(deleted, "the image to go").await }
        });
        if is_gone || error.hint_is_set() {
            error
        } else {
            error.hint(format!("an image may be left: remove it with `gcloud compute images delete {name}`"))
        }
    }
}

fn is_operation(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !name.is_empty() && name.len() < 128 && name.bytes().all(is_inner)
}

/// Looks whether a resource can have a name (RFC 1035).
fn check_name(name: &str, option: &str) -> Result<(), Error> {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
    if starts && name.len() <= 63 && name.bytes().all(is_inner) && !name.ends_with('-') {
        return Ok(());
    }
    Err(Error::usage(format!("nothing in Google Cloud can have the name `{name}`"))
        .hint(format!("name it with `{option}`: a small letter first, then up to 62 small letters, digits and `-`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_rfc_1035() {
        for name in ["a", "linuxkit-1", &"a".repeat(63)] {
            assert!(check_name(name, "--family").is_ok(), "{name}");
        }
        for name in ["", "A", "1a", "a_b", "a.b", "a-", "a/../b", &"a".repeat(64)] {
            assert!(check_name(name, "--family").is_err(), "{name}");
        }
    }
}
