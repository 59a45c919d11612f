//! A server: what is found out about it once, for all who ask it.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Url;
use tokio::sync::OnceCell;

use super::RegistryError;
use super::door::Door;
use super::mirror::{Endpoint, Scheme};
use super::reference::DOCKER_HUB;
use super::resting::Resting;
use super::transport::{Setback, Transport};
use crate::base::Digest;

/// The server behind the name of docker's registry.
const DOCKER_HUB_HOST: &str = "index.docker.io";
/// Most blobs whose place on another server is remembered: more than the layers of a system.
const MOST_PLACES: usize = 4096;
/// Most transfers that rest. Each holds a connection and at most a megabyte.
const MOST_RESTING: usize = 4;

/// A registry or mirror.
pub(super) struct Server {
    /// Host and port, as messages name it.
    pub name: String,
    pub transport: Transport,
    /// Its address by TLS, and in plain text, as far as it may be spoken with in that way.
    addresses: (Option<Url>, Option<Url>),
    /// Its address, once it is known how it speaks.
    origin: OnceCell<Url>,
    /// The ways into its repositories, by their names.
    doors: Mutex<HashMap<String, Arc<Door>>>,
    /// It asked for patience: nobody asks it before.
    stalled: Mutex<Option<Instant>>,
    /// Where other servers have its blobs, as it said; these URLs are signed, and secrets.
    places: Mutex<HashMap<Digest, Url>>,
    /// Whether it answered the last question for a range with a whole blob.
    sends_all: AtomicBool,
    /// Whether that has been told.
    is_told: AtomicBool,
    /// Transfers of whole blobs that nobody reads just now.
    resting: Mutex<Vec<Resting>>,
}

impl Server {
    /// A server of which nothing is known yet.
    ///
    /// # Errors
    /// When the name makes no URL.
    pub fn new(endpoint: &Endpoint, transport: Transport) -> Result<Self, RegistryError> {
        let host = if endpoint.host == DOCKER_HUB { DOCKER_HUB_HOST } else { &endpoint.host };
        let address = |scheme: &str| {
            let address = Url::parse(&format!("{scheme}://{host}/v2/"));
            address.map_err(|error| unreachable_server(&endpoint.host, error.into()))
        };
        let addresses = match endpoint.scheme {
            Scheme::Https => (Some(address("https")?), None),
            Scheme::Http => (None, Some(address("http")?)),
            Scheme::Either => (Some(address("https")?), Some(address("http")?)),
        };
        Ok(Self {
            name: endpoint.host.clone(),
            transport,
            addresses,
            origin: OnceCell::new(),
            doors: Mutex::default(),
            stalled: Mutex::default(),
            places: Mutex::default(),
            sends_all: AtomicBool::new(false),
            is_told: AtomicBool::new(false),
            resting: Mutex::default(),
        })
    }

    /// Its address. How it speaks is found out by the first question, if need be.
    ///
    /// # Errors
    /// When it cannot be spoken with.
    pub async fn origin(&self) -> Result<&Url, Setback> {
        self.origin.get_or_try_init(|| self.found_address()).await
    }

    async fn found_address(&self) -> Result<Url, Setback> {
        match &self.addresses {
            (Some(secret), Some(plain)) => match self.transport.ask(secret.clone(), |request| request).await {
                Ok(_) => Ok(secret.clone()),
                Err(setback) if setback.is_before_tls() => Ok(plain.clone()),
                Err(setback) => Err(setback),
            },
            (Some(only), None) | (None, Some(only)) => Ok(only.clone()),
            (None, None) => Err(Setback::Unusable("it has no address".to_owned())),
        }
    }

    /// Has all who ask it wait for some time.
    pub fn stall(&self, time: Duration) {
        let mut stalled = locked(&self.stalled);
        *stalled = stalled.max(Instant::now().checked_add(time));
    }

    /// How long it does not want to be asked.
    pub fn stalled(&self) -> Duration {
        let stalled = *locked(&self.stalled);
        stalled.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    /// The way into a repository.
    pub fn door(&self, repository: &str) -> Arc<Door> {
        Arc::clone(locked(&self.doors).entry(repository.to_owned()).or_default())
    }

    /// Where another server has a blob, as far as that is known.
    pub fn place_of(&self, digest: &Digest) -> Option<Url> {
        locked(&self.places).get(digest).cloned()
    }

    /// Takes note of the URL that gave a blob; nothing, where that is on the server itself.
    pub fn note_place(&self, digest: &Digest, url: &Url) {
        if self.origin.get().is_none_or(|origin| url.origin() == origin.origin()) {
            return;
        }
        let mut places = locked(&self.places);
        if places.len() >= MOST_PLACES {
            places.clear();
        }
        places.insert(*digest, url.clone());
    }

    /// A blob is no longer where it was.
    pub fn forget_place(&self, digest: &Digest) {
        locked(&self.places).remove(digest);
    }

    /// Takes note of whether a question for a range was answered with one.
    pub fn note_range(&self, is_range: bool) {
        self.sends_all.store(!is_range, Ordering::Relaxed);
        if !is_range && !self.is_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "registry `{}` answers a question for a part of a blob with all of it: a read in the middle of a layer \
                 fetches what stands before it, too",
                self.name
            );
        }
    }

    /// Keeps the rest of a transfer for the next reader of its blob, where all of a blob is sent each time.
    pub fn rest(&self, transfer: Resting) {
        if !self.sends_all.load(Ordering::Relaxed) || transfer.is_over() {
            return;
        }
        let mut resting = locked(&self.resting);
        if resting.len() == MOST_RESTING {
            resting.remove(0);
        }
        resting.push(transfer);
    }

    /// The transfer of a blob that rests nearest before an offset.
    pub fn resting(&self, digest: &Digest, offset: u64) -> Option<Resting> {
        let mut resting = locked(&self.resting);
        let suits = |transfer: &Resting| transfer.digest == *digest && transfer.next <= offset;
        let nearest = (0..resting.len()).filter(|at| suits(&resting[*at])).max_by_key(|at| resting[*at].next)?;
        Some(resting.remove(nearest))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Everything here is changed in whole steps, so a panic elsewhere does not spoil it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The error of a server that cannot be spoken with.
pub(super) fn unreachable_server(name: &str, source: Box<dyn StdError + Send + Sync>) -> RegistryError {
    RegistryError::Unreachable { registry: name.to_owned(), source }
}
