//! Questions that put something into a repository, and what their refusals mean.

use std::sync::atomic::Ordering;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, IF_MATCH, LOCATION};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};

use super::access::Access;
use super::attempts::{Attempts, code_of};
use super::push_error::PushProblem;
use super::registry::Repository;
use super::transport::{Complaint, Setback};
use super::upload::{Content, Upload, flaw};
use super::{Refusal, RegistryError};
use crate::base::Digest;

/// How often the progress of an upload is told.
const TICK: Duration = Duration::from_millis(100);

/// How a blob got into a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It was there.
    WasThere,
    /// The registry took it from another repository.
    Mounted,
    /// It was sent.
    Sent,
}

/// A manifest or image index on its way.
pub(super) struct Document<'a> {
    /// Tag or digest.
    pub name: &'a str,
    pub bytes: &'a [u8],
    pub media_type: &'a str,
    /// The `ETag` of what has the name now, which is to be replaced and nothing else.
    pub replaces: Option<&'a str>,
}

/// Where a registry wants a blob to be sent.
enum Place {
    Here(Url),
    /// Nowhere: it has taken the blob from another repository.
    Nowhere,
}

impl Repository {
    /// Puts a blob here, unless it is here; tried again as a whole after transient faults. `source` is another
    /// repository of the registry which may have it; `told` hears of the progress.
    pub async fn push_blob(
        &self,
        content: &Content,
        source: Option<&str>,
        told: &(dyn Fn(u64) + Sync),
    ) -> Result<Pushed, PushProblem> {
        let wanted = self.blob_name(&content.digest);
        if self.has_blob(&content.digest, &wanted).await? {
            return Ok(Pushed::WasThere);
        }
        let mut attempts = self.attempts(&wanted);
        loop {
            let setback = match self.upload_place(&content.digest, source).await {
                Ok(Place::Nowhere) => return Ok(Pushed::Mounted),
                Ok(Place::Here(url)) => match self.send_blob(url, content, told).await? {
                    Ok(()) => return Ok(Pushed::Sent),
                    Err(setback) => setback,
                },
                Err(setback) => setback,
            };
            self.met_pushing(setback, &mut attempts, &wanted).await?;
        }
    }

    /// Puts a manifest or image index here; the headers of the answer.
    pub async fn put_manifest(&self, document: &Document<'_>) -> Result<HeaderMap, RegistryError> {
        let wanted = format!("{}:{}", self.name, document.name);
        let mut attempts = self.attempts(&wanted);
        loop {
            match self.try_manifest(document).await {
                Ok(response) => return Ok(response.headers().clone()),
                Err(setback) => self.met_pushing(setback, &mut attempts, &wanted).await?,
            }
        }
    }

    async fn try_manifest(&self, document: &Document<'_>) -> Result<Response, Setback> {
        let url = self.url(&format!("manifests/{}", document.name)).await?;
        let body = bytes::Bytes::copy_from_slice(document.bytes);
        self.change(Method::PUT, url, |request| {
            let request = request.header(CONTENT_TYPE, document.media_type).body(body);
            document.replaces.iter().fold(request, |request, tag| request.header(IF_MATCH, *tag))
        })
        .await
    }

    async fn has_blob(&self, digest: &Digest, wanted: &str) -> Result<bool, RegistryError> {
        let path = format!("blobs/{digest}");
        let answer = self.insist(wanted, async || {
            let url = self.url(&path).await?;
            let access = self.access().await?;
            let response =
                self.server.transport.send(Method::HEAD, url.clone(), |request| access.furnish(request)).await?;
            // Whoever leads to a store has the blob; many stores refuse this question, of which nothing was signed.
            let is_elsewhere = response.url().origin() != url.origin();
            match response.status() {
                _ if is_elsewhere => Ok(true),
                // What does not answer it may take the blob all the same.
                StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::BAD_REQUEST => Ok(false),
                _ => self.server.transport.success(response).await.map(|_| true),
            }
        });
        answer.await.map_err(|error| self.refused(error, wanted))
    }

    /// Asks where to send a blob.
    async fn upload_place(&self, digest: &Digest, source: Option<&str>) -> Result<Place, Setback> {
        let mut url = self.url("blobs/uploads/").await?;
        if let Some(source) = source {
            url.query_pairs_mut().append_pair("mount", &digest.to_string()).append_pair("from", source);
        }
        let response = self.change(Method::POST, url.clone(), |request| request.body("")).await?;
        if response.status() == StatusCode::CREATED && source.is_some() {
            return Ok(Place::Nowhere);
        }
        let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
        let place = location.and_then(|location| url.join(location).ok());
        let place = place.ok_or_else(|| Setback::Unusable("it does not say where to send a blob".to_owned()))?;
        let mut place = as_safe(self.server.origin().await?, place)?;
        place.query_pairs_mut().append_pair("digest", &digest.to_string());
        Ok(Place::Here(place))
    }

    /// Sends a blob; a flaw of the blob itself is the outer error.
    async fn send_blob(
        &self,
        url: Url,
        content: &Content,
        told: &(dyn Fn(u64) + Sync),
    ) -> Result<Result<(), Setback>, PushProblem> {
        let Upload { body, sent, reader } = Upload::start(content.clone());
        let size = content.source.size();
        let sending = async {
            let access = match url.origin() == self.server.origin().await?.origin() {
                true => self.access().await?,
                false => Access::Anybody,
            };
            let furnish = |request: RequestBuilder| {
                access.furnish(request).header(CONTENT_TYPE, "application/octet-stream").body(body)
            };
            let response = self.server.transport.put(url, furnish, (&sent, size)).await?;
            self.server.transport.success(response).await.map(drop)
        };
        let ticking = async {
            loop {
                tokio::time::sleep(TICK).await;
                told(sent.load(Ordering::Relaxed));
            }
        };
        let result = tokio::select! {
            result = sending => result,
            () = ticking => Ok(()),
        };
        match result {
            Ok(()) => Ok(Ok(())),
            Err(setback) => flaw(reader).await.map_or(Ok(Err(setback)), |flaw| Err(flaw.into())),
        }
    }

    /// The answer to a question that changes something, which is a success.
    async fn change(
        &self,
        method: Method,
        url: Url,
        furnish: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, Setback> {
        let access = self.access().await?;
        let response = self.server.transport.send(method, url, |request| furnish(access.furnish(request))).await?;
        self.server.transport.success(response).await
    }

    /// As [`met`](Self::met), where something was to be put here.
    async fn met_pushing(
        &self,
        setback: Setback,
        attempts: &mut Attempts<'_>,
        wanted: &str,
    ) -> Result<(), RegistryError> {
        match setback {
            Setback::Status(complaint) if is_refusal(&complaint) => Err(self.refusal(&complaint, wanted)),
            setback => self.met(setback, attempts).await.map_err(|error| self.refused(error, wanted)),
        }
    }

    /// The error of an answer that says no.
    fn refusal(&self, complaint: &Complaint, wanted: &str) -> RegistryError {
        let (code, text) = code_of(&complaint.text);
        let status = complaint.status;
        let text = self.told(&text);
        let answer = if text.is_empty() { status.to_string() } else { format!("{} {text}", status.as_u16()) };
        let (registry, wanted) = (self.server.name.clone(), wanted.to_owned());
        let refusal = match (status.as_u16(), code.as_str()) {
            (403, _) | (_, "DENIED" | "UNAUTHORIZED") => {
                let error = RegistryError::Denied { registry, answer, complaint: None };
                return self.refused(error, &wanted);
            }
            (405, _) | (_, "UNSUPPORTED") => Refusal::ReadOnly,
            (404, _) | (_, "NAME_UNKNOWN") => Refusal::NoRepository,
            (412, _) => Refusal::Changed,
            _ => Refusal::Content,
        };
        RegistryError::NotTaken { registry, wanted, answer, refusal }
    }

    /// That we are not let in means something else where something was to be put here.
    fn refused(&self, error: RegistryError, wanted: &str) -> RegistryError {
        match error {
            RegistryError::Denied { registry, answer, .. } => {
                let (wanted, complaint) = (wanted.to_owned(), self.complaint.as_deref().map(Box::from));
                RegistryError::PushDenied { registry, wanted, answer, complaint }
            }
            other => other,
        }
    }
}

/// Whether an answer says no, for good; what a new token may help against, or patience, does not.
fn is_refusal(complaint: &Complaint) -> bool {
    let may_pass = matches!(complaint.status.as_u16(), 401 | 408 | 429);
    complaint.status.is_client_error() && !may_pass && code_of(&complaint.text).0 != "TOOMANYREQUESTS"
}

/// The address without a step from https to http.
fn as_safe(origin: &Url, mut place: Url) -> Result<Url, Setback> {
    if origin.scheme() == place.scheme() || place.scheme() == "https" {
        return Ok(place);
    }
    // A registry behind something that ends TLS may not know that it does.
    let is_mended = origin.host() == place.host() && place.set_scheme("https").is_ok();
    if is_mended { Ok(place) } else { Err(Setback::Unusable("it wants a blob to be sent over plain http".to_owned())) }
}
