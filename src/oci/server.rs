//! A server: what is found out about it once, for all who ask it.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Url;

use super::RegistryError;
use super::access::Access;
use super::mirror::Endpoint;
use super::reference::DOCKER_HUB;
use super::transport::Transport;

/// The server behind the name of docker's registry.
const DOCKER_HUB_HOST: &str = "index.docker.io";

/// A registry or mirror.
pub(super) struct Server {
    /// Host and port, as messages name it.
    pub name: String,
    pub transport: Transport,
    /// Its address.
    pub origin: Url,
    /// What its repositories are asked with, as was found out, by their names.
    accesses: Mutex<HashMap<String, Access>>,
    /// It asked for patience: nobody asks it before.
    stalled: Mutex<Option<Instant>>,
}

impl Server {
    /// A server of which nothing is known yet.
    ///
    /// # Errors
    /// When the name makes no URL.
    pub fn new(endpoint: &Endpoint, transport: Transport) -> Result<Self, RegistryError> {
        let scheme = if endpoint.plain { "http" } else { "https" };
        let host = if endpoint.host == DOCKER_HUB { DOCKER_HUB_HOST } else { &endpoint.host };
        let origin = Url::parse(&format!("{scheme}://{host}/v2/"));
        let origin = origin.map_err(|error| unreachable_server(&endpoint.host, error.into()))?;
        Ok(Self {
            name: endpoint.host.clone(),
            transport,
            origin,
            accesses: Mutex::default(),
            stalled: Mutex::default(),
        })
    }

    /// Has all who ask it wait for some time.
    pub fn stall(&self, time: Duration) {
        let mut stalled = self.stalled.lock().unwrap_or_else(PoisonError::into_inner);
        *stalled = stalled.max(Instant::now().checked_add(time));
    }

    /// How long it does not want to be asked.
    pub fn stalled(&self) -> Duration {
        let stalled = *self.stalled.lock().unwrap_or_else(PoisonError::into_inner);
        stalled.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    /// What a repository is asked with, as far as that is known.
    pub fn access(&self, repository: &str) -> Option<Access> {
        self.accesses().get(repository).cloned()
    }

    /// Takes note of what a repository is asked with.
    pub fn note_access(&self, repository: &str, access: Access) {
        self.accesses().insert(repository.to_owned(), access);
    }

    fn accesses(&self) -> MutexGuard<'_, HashMap<String, Access>> {
        // An entry is put in whole, so a panic elsewhere does not spoil the map.
        self.accesses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error of a server that cannot be spoken with.
pub(super) fn unreachable_server(name: &str, source: Box<dyn StdError + Send + Sync>) -> RegistryError {
    RegistryError::Unreachable { registry: name.to_owned(), source }
}
