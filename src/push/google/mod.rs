//! Google Cloud: an account with its tokens, buckets, and images of machines.

mod compute;
mod credentials;
mod storage;
mod token;

use std::path::PathBuf;
use std::sync::Arc;

use reqwest::Url;
use serde_json::Value;

pub use compute::{Gce, GceImage};
pub use storage::{GcsBucket, Readers};

use self::credentials::Account;
use self::token::Tokens;
use super::service::{Call, Reply, Sent, Service, address};
use super::{Error, Surroundings};
use crate::base::ErrorKind;

/// What a user says of Google Cloud on the command line.
#[derive(Clone, Debug, Default)]
pub struct GcpOptions {
    /// The file with the key of a service account.
    pub keys: Option<PathBuf>,
    /// The project.
    pub project: Option<String>,
    /// Another server than Google's, for all services.
    pub endpoint: Option<String>,
}

/// An account of Google Cloud.
pub struct Gcp {
    tokens: Tokens,
    project: Option<String>,
    endpoint: Option<String>,
    surroundings: Arc<Surroundings>,
}

/// Whether a server is shown a token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Token,
    /// An emulator of buckets that `STORAGE_EMULATOR_HOST` names is never shown one.
    Nothing,
}

/// A service of Google's: its address, and how it is asked.
struct Door {
    base: Url,
    service: Service,
    shown: Shown,
}

impl Gcp {
    /// What the environment and the files say; `options` come first.
    ///
    /// # Errors
    /// When there are no credentials, or they cannot be used.
    pub fn new(options: GcpOptions, surroundings: &Arc<Surroundings>) -> Result<Self, Error> {
        let is_emulated = options.endpoint.is_some() || surroundings.variable("STORAGE_EMULATOR_HOST").is_some();
        let account = Account::find(options.keys, is_emulated, surroundings)?;
        let project = match options.project.filter(|project| !project.is_empty()) {
            Some(project) => Some(project),
            None => account.project(surroundings)?,
        };
        let tokens = Tokens::new(account, surroundings)?;
        Ok(Self { tokens, project, endpoint: options.endpoint, surroundings: surroundings.clone() })
    }

    /// The door of buckets: `--endpoint`, `STORAGE_EMULATOR_HOST`, or Google's.
    fn storage(&self) -> Result<Door, Error> {
        let emulator = self.surroundings.variable("STORAGE_EMULATOR_HOST").filter(|_| self.endpoint.is_none());
        let shown = if emulator.is_some() { Shown::Nothing } else { Shown::Token };
        // It may be a host and a port alone.
        let emulator = emulator.map(|host| if host.contains("://") { host } else { format!("http://{host}") });
        let base = self.endpoint.clone().or(emulator).unwrap_or_else(|| "https://storage.googleapis.com".to_owned());
        self.door(&base, shown)
    }

    /// The door of images of machines: below `--endpoint`, what gcloud's variable says, or Google's.
    fn compute(&self) -> Result<Door, Error> {
        let below = |base: &str| format!("{}/compute/v1", base.trim_end_matches('/'));
        let named = self.endpoint.as_deref().map(below);
        let named = named.or_else(|| self.surroundings.variable("CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE"));
        self.door(&named.unwrap_or_else(|| below("https://compute.googleapis.com")), Shown::Token)
    }

    fn door(&self, base: &str, shown: Shown) -> Result<Door, Error> {
        let base = address(&format!("{}/", base.trim_end_matches('/')), "endpoint")?;
        Ok(Door { service: Service::new(&base, &self.surroundings, self.tokens.secrets())?, base, shown })
    }

    /// The answer to a question that a token comes with: a new one, when the server does not take the one that there is.
    async fn ask(&self, door: &Door, call: Call) -> Result<Reply, Error> {
        let call_with = self.shown(door, call.clone()).await?;
        let reply = door.service.call(&|| call_with.clone(), &Sent::default()).await?;
        if reply.status.as_u16() != 401 || !self.tokens.forget() {
            return Ok(reply);
        }
        let call = self.shown(door, call).await?;
        door.service.call(&|| call.clone(), &Sent::default()).await
    }

    /// A call with a token that lives longer than the call; none where nobody is known, or nobody is to be told.
    async fn shown(&self, door: &Door, call: Call) -> Result<Call, Error> {
        if door.shown == Shown::Nothing {
            return Ok(call);
        }
        let Some(token) = self.tokens.current().await? else { return Ok(call) };
        door.service.hide(&token);
        let call = call.secret("authorization", &format!("Bearer {token}"));
        Ok(match self.tokens.payer() {
            Some(project) => call.header("x-goog-user-project", project),
            None => call,
        })
    }
}

impl Door {
    fn url(&self, path: &str) -> Result<Url, Error> {
        address(&format!("{}{path}", self.base), "endpoint")
    }

    /// The error of an answer that says no.
    fn refusal(&self, reply: &Reply) -> Error {
        let json = serde_json::from_slice::<Value>(&reply.body).unwrap_or_default();
        let message = json["error"]["message"].as_str().unwrap_or_default();
        let answer = format!("{} {message}", reply.status.as_u16());
        match reply.status.as_u16() {
            401 | 403 => {
                let message = format!("`{}` refused access: {}", self.service.name(), self.service.told(&answer));
                Error::new(ErrorKind::Denied, message)
                    .hint("check who asks with `gcloud auth list`, and what it may do in the project")
            }
            _ => self.service.answered(&answer),
        }
    }
}
