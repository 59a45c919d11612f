//! Azure's resource manager: the key of a storage account, and images of machines made of page blobs.
//!
//! # Format
//! "Azure REST API Reference": Storage Accounts - List Keys, Resource Groups - Get, Images - Create Or Update, and "Track
//! asynchronous Azure operations".
//!
//! # Invariants
//! - An image that is there is not touched, and one that fails or is not waited for any more is deleted. Each push gives
//!   its image a tag of its own, and deletes an image only if that tag is there.
//! - The token is sent to the resource manager alone, wherever it says that an operation can be asked about.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::{Method, Url};
use serde_json::{Value, json};

use super::{Azure, Group};
use crate::base::ErrorKind;
use crate::push::service::{Call, Reply, Sent, Service, wanted_delay};
use crate::push::sigv4::{escaped, escaped_path};
use crate::push::{Error, Step, Surroundings, mark};

/// How often it is asked how far an image is, where Azure does not say.
const POLL: Duration = Duration::from_secs(5);
/// The shortest and the longest wait, whatever it says.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(60);
/// Versions of the interfaces.
const GROUPS: &str = "2021-04-01";
const STORAGE: &str = "2023-01-01";
const IMAGES: &str = "2024-07-01";

/// The resource manager, as it is asked about a group.
pub struct Manager<'a> {
    group: &'a Group,
    service: Service,
}

/// What an image is to be.
#[derive(Clone, Debug, Default)]
pub struct ManagedImageOptions {
    /// Its name, unique in the resource group.
    pub name: String,
    /// Its location, such as `westeurope`; `None` for that of its resource group.
    pub location: Option<String>,
    /// Whether it starts by UEFI.
    pub uefi: bool,
}

/// An image that is to be.
pub struct ManagedImage<'a> {
    manager: Manager<'a>,
    options: ManagedImageOptions,
    surroundings: &'a Surroundings,
    /// What the image of this push is known by.
    mark: String,
    /// Whether it may be there.
    has_begun: AtomicBool,
}

impl Azure {
    /// An image, which is checked before anything is pushed.
    ///
    /// # Errors
    /// When no group is known, or no image can have the name.
    pub fn image(self: &Azure, options: ManagedImageOptions) -> Result<ManagedImage<'_>, Error> {
        let name = &options.name;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let is_end = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !(1..=80).contains(&name.len())
            || !name.bytes().all(is_name)
            || !is_end(name.bytes().next_back())
            || !is_end(name.bytes().next())
        {
            return Err(Error::usage(format!("no image of Azure can have the name `{name}`"))
                .hint("name it with `--img-name`: 1 to 80 letters, digits, `_`, `.` and `-`"));
        }
        let group = self.group.as_ref().map_err(Error::again)?;
        let manager = Manager::new(group, &self.surroundings)?;
        let mark = mark(name);
        Ok(ManagedImage { manager, options, surroundings: &self.surroundings, mark, has_begun: AtomicBool::new(false) })
    }
}

impl<'a> Manager<'a> {
    pub fn new(group: &'a Group, surroundings: &Arc<Surroundings>) -> Result<Self, Error> {
        Ok(Self { service: Service::new(&group.url, surroundings, Vec::new())?, group })
    }

    /// The first key of a storage account.
    pub async fn storage_key(&self, account: &str) -> Result<String, Error> {
        let path = format!("providers/Microsoft.Storage/storageAccounts/{account}/listKeys");
        let answer = self.good(Method::POST, self.url(&path, STORAGE), None).await?;
        let key = answer["keys"][0]["value"].as_str();
        key.map(str::to_owned).ok_or_else(|| self.service.answered("it gives no key of the storage account"))
    }

    /// The URL of something in the group.
    fn url(&self, path: &str, version: &str) -> Url {
        let Group { subscription, name, url, .. } = self.group;
        let mut url = url.clone();
        let group = escaped(name);
        let base = format!("{}/subscriptions/{subscription}/resourceGroups/{group}", url.path().trim_end_matches('/'));
        url.set_path(format!("{base}/{}", escaped_path(path)).trim_end_matches('/'));
        url.set_query(Some(&format!("api-version={version}")));
        url
    }

    async fn ask(&self, method: Method, url: Url, body: Option<&Value>) -> Result<Reply, Error> {
        let token = self.group.login.token().await?;
        self.service.hide(&token);
        let call = Call::new(method, url).secret("authorization", &format!("Bearer {token}"));
        let call = match body {
            Some(body) => call.header("content-type", "application/json").body(body.to_string()),
            None => call,
        };
        self.service.call(&|| call.clone(), &Sent::default()).await
    }

    /// The answer to a question, which is a success.
    async fn good(&self, method: Method, url: Url, body: Option<&Value>) -> Result<Value, Error> {
        let reply = self.ask(method, url, body).await?;
        if reply.status.is_success() { Ok(content(&reply)) } else { Err(self.refusal(&reply)) }
    }

    /// The error of an answer that says no.
    fn refusal(&self, reply: &Reply) -> Error {
        let answer = content(reply);
        let text = |name: &str| answer["error"][name].as_str().unwrap_or_default().to_owned();
        let (code, name, group) = (text("code"), self.service.name(), &self.group.name);
        let told = format!("{} {code} {}", reply.status.as_u16(), text("message"));
        match (reply.status.as_u16(), code.as_str()) {
            (404, "ResourceGroupNotFound") => {
                Error::new(ErrorKind::Unreachable, format!("resource group `{group}` is not there"))
                    .hint(format!("make it with `az group create -n {group} -l LOCATION`, or name another with `--resource-group`"))
            }
            (404, "ResourceNotFound") if told.contains("storageAccounts") => {
                Error::new(ErrorKind::Unreachable, format!("the storage account is not in resource group `{group}`"))
                    .hint("name another with `--storage-account`, or set `AZURE_STORAGE_KEY`")
            }
            (401 | 403, _) => {
                Error::new(ErrorKind::Denied, format!("`{name}` refused access: {}", self.service.told(&told))).hint(format!(
                    "give who is logged in a role such as Contributor in resource group `{group}`; `az role assignment list` \
                     tells those that there are"
                ))
            }
            _ => self.service.answered(&told),
        }
    }
}

impl ManagedImage<'_> {
    /// What making it comes to, in words: a line for each step.
    pub fn plan(&self, blob: &str) -> String {
        let ManagedImageOptions { name, location, .. } = &self.options;
        let (group, generation) = (&self.manager.group.name, self.generation());
        let location = location.as_ref().map(|location| format!(" in {location}")).unwrap_or_default();
        format!(
            "PUT image `{name}` {generation}{location} into resource group `{group}`, of {blob}\n\
             GET image `{name}`, until it is there\n"
        )
    }

    /// Looks whether it can be made: the group is there, and no such image in it.
    ///
    /// # Errors
    /// When it cannot.
    pub fn check(&self, limit: Duration) -> Result<(), Error> {
        self.manager.service.wait(&self.options.name, limit, async {
            self.location().await?;
            let reply = self.get().await?;
            match reply.status.as_u16() {
                404 => Ok(()),
                200 => Err(self.is_there()),
                _ => Err(self.manager.refusal(&reply)),
            }
        })
    }

    /// Makes it of a page blob; its identifier.
    ///
    /// # Errors
    /// When that fails, is interrupted, or takes longer than `limit`; then there is no such image.
    pub fn make(&self, blob: &str, limit: Duration) -> Result<String, Error> {
        let made = self.manager.service.wait(&self.options.name, limit, self.run(blob));
        made.map_err(|error| self.taken_back(error))
    }

    fn generation(&self) -> &'static str {
        if self.options.uefi { "V2" } else { "V1" }
    }

    fn url(&self) -> Url {
        self.manager.url(&format!("providers/Microsoft.Compute/images/{}", self.options.name), IMAGES)
    }

    async fn get(&self) -> Result<Reply, Error> {
        self.manager.ask(Method::GET, self.url(), None).await
    }

    fn is_there(&self) -> Error {
        let (name, group) = (&self.options.name, &self.manager.group.name);
        Error::new(ErrorKind::Busy, format!("image `{name}` is in resource group `{group}` already")).hint(format!(
            "name it otherwise with `--img-name`, or delete it with `az image delete -g {group} -n {name}`"
        ))
    }

    async fn location(&self) -> Result<String, Error> {
        if let Some(location) = &self.options.location {
            return Ok(location.clone());
        }
        let answer = self.manager.good(Method::GET, self.manager.url("", GROUPS), None).await?;
        let location = answer["location"].as_str().map(str::to_owned);
        location.ok_or_else(|| self.manager.service.answered("it does not say where the resource group is"))
    }

    async fn run(&self, blob: &str) -> Result<String, Error> {
        let disk = json!({"osType": "Linux", "osState": "Generalized", "blobUri": blob, "caching": "ReadWrite"});
        let properties = json!({"hyperVGeneration": self.generation(), "storageProfile": {"osDisk": disk}});
        let location = self.location().await?;
        let body = json!({"location": location, "tags": {"lkit": self.mark}, "properties": properties});
        self.has_begun.store(true, Ordering::Relaxed);
        let reply = self.manager.ask(Method::PUT, self.url(), Some(&body)).await?;
        if !reply.status.is_success() {
            let error = self.manager.refusal(&reply);
            return Err(if reply.status.as_u16() == 409 { self.is_there().because(error) } else { error });
        }
        self.finished(&reply).await?;
        let reply = self.get().await?;
        let (image, service) = (content(&reply), &self.manager.service);
        if !self.is_ours(&image) || state(&image) != "Succeeded" {
            return Err(service.answered("the image that it has just made is another one, or not ready"));
        }
        let id = image["id"].as_str().filter(|id| id.starts_with("/subscriptions/"));
        Ok(service.told(id.ok_or_else(|| service.answered("it gives no `id` of the image"))?))
    }

    /// Waits for the image, as the answer to its making says.
    async fn finished(&self, begun: &Reply) -> Result<(), Error> {
        let service = &self.manager.service;
        let operation = begun.header("azure-asyncoperation").and_then(|url| Url::parse(url).ok());
        let operation = operation.filter(|url| url.origin() == self.manager.group.url.origin());
        let mut wait = wanted_delay(begun);
        loop {
            let (on, percent) = ("the image of Azure", 0);
            (self.surroundings.told)(Step::Waiting { on, percent });
            tokio::time::sleep(wait.unwrap_or(POLL).clamp(SHORTEST, LONGEST)).await;
            let reply = self.manager.ask(Method::GET, operation.clone().unwrap_or_else(|| self.url()), None).await?;
            if !reply.status.is_success() {
                return Err(self.manager.refusal(&reply));
            }
            let answer = content(&reply);
            let status =
                if operation.is_some() { answer["status"].as_str().unwrap_or_default() } else { state(&answer) };
            match status {
                "Succeeded" => return Ok(()),
                "Failed" | "Canceled" => {
                    let text = |name: &str| answer["error"][name].as_str().unwrap_or_default().to_owned();
                    let said = service.told(&format!("{status} {} {}", text("code"), text("message")));
                    return Err(Error::new(ErrorKind::Unsupported, format!("Azure could not make the image: {said}")));
                }
                _ => wait = wanted_delay(&reply),
            }
        }
    }

    fn is_ours(&self, image: &Value) -> bool {
        image["tags"]["lkit"] == self.mark.as_str()
    }

    /// The error, when the image is gone.
    fn taken_back(&self, error: Error) -> Error {
        let is_gone = !self.has_begun.load(Ordering::Relaxed)
            || self.manager.service.clean_up(async {
                if self.is_ours(&content(&self.get().await?)) {
                    self.manager.good(Method::DELETE, self.url(), None).await?;
                }
                Ok(())
            });
        if is_gone || error.hint_is_set() {
            return error;
        }
        let (name, group) = (&self.options.name, &self.manager.group.name);
        error.hint(format!("the image may be left: `az image delete -g {group} -n {name}`"))
    }
}

/// The JSON of an answer; null where it is none.
fn content(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap_or_default()
}

/// How far a resource is.
fn state(resource: &Value) -> &str {
    resource["properties"]["provisioningState"].as_str().unwrap_or_default()
}
