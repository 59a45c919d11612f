//! What refers to a manifest: signatures, indexes and the like, whose own manifests name it as their `subject`.
//!
//! # Format
//! OCI distribution specification 1.1, "Listing Referrers" and "Referrers Tag Schema": `referrers/DIGEST` gives an image
//! index, in pages. A registry that does not know this keeps such an index under the tag `sha256-HEX`, which clients change
//! that push.
//!
//! # Invariants
//! A list is bounded in pages, in bytes and in entries, and believed in nothing: who follows an entry checks its digest.

use reqwest::Url;
use reqwest::header::{ACCEPT, ETAG, HeaderMap, LINK};
use serde::Deserialize;
use serde_json::{Value, json};

use super::manifest::MAX_MANIFEST;
use super::media_type::OCI_INDEX;
use super::registry::Repository;
use super::transport::Setback;
use super::write::Document;
use super::{Descriptor, Descriptors, Refusal, RegistryError};
use crate::base::Digest;

/// Most pages of a list that are asked for, and most entries that are kept of one.
const MAX_PAGES: usize = 16;
const MAX_ENTRIES: usize = 1024;
/// How often a list is changed anew, where others change it at the same time.
const ROUNDS: usize = 8;

/// A list, as far as it could be had.
#[derive(Debug, Default)]
pub(super) struct Referrers {
    pub found: Vec<Descriptor>,
    /// Why it may not be all; one line.
    pub oddity: Option<String>,
}

/// What a manifest refers to, and how the list of that names the manifest.
pub(super) struct Subject {
    digest: Digest,
    entry: Descriptor,
}

/// An image index as it is needed here.
#[derive(Deserialize)]
struct List {
    manifests: Descriptors,
}

/// One page of a list.
struct Page {
    entries: Vec<Descriptor>,
    next: Option<Url>,
}

impl Subject {
    /// What a manifest refers to, if there is something.
    ///
    /// # Errors
    /// What makes the bytes no manifest.
    pub fn of(bytes: &[u8], media_type: &str) -> Result<Option<Self>, String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Json {
            subject: Option<Descriptor>,
            artifact_type: Option<String>,
            config: Option<Descriptor>,
            annotations: Option<std::collections::BTreeMap<String, String>>,
        }
        let json: Json = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let Some(subject) = json.subject else { return Ok(None) };
        let mut entry = Descriptor::new(media_type, Digest::of(bytes), bytes.len() as u64);
        let artifact_type = json.artifact_type.filter(|artifact_type| !artifact_type.is_empty());
        entry.artifact_type = artifact_type.or_else(|| json.config.map(|config| config.media_type));
        entry.annotations = json.annotations;
        Ok(Some(Self { digest: subject.digest, entry }))
    }

    /// Lists the manifest under the fallback tag, in a repository of a registry that does not do so itself. What others
    /// list there stays; where they change it at the same time, it is done again.
    pub async fn note_in(&self, repository: &Repository) -> Result<(), RegistryError> {
        let tag = fallback_tag(&self.digest);
        let mut is_noted = self.add(repository, &tag).await?;
        for _ in 1..ROUNDS {
            // Somebody else may have put there what they read before.
            if is_noted && self.is_noted(repository, &tag).await? {
                return Ok(());
            }
            is_noted = self.add(repository, &tag).await?;
        }
        let answer = "others change it again and again".to_owned();
        let (registry, wanted) = (repository.server.name.clone(), format!("{}:{tag}", repository.name));
        Err(RegistryError::NotTaken { registry, wanted, answer, refusal: Refusal::Changed })
    }

    async fn is_noted(&self, repository: &Repository, tag: &str) -> Result<bool, RegistryError> {
        let Some((list, _)) = repository.fallback(tag).await? else { return Ok(false) };
        Ok(self.is_in(&list))
    }

    /// Adds the entry to the list; not so when somebody was faster.
    async fn add(&self, repository: &Repository, tag: &str) -> Result<bool, RegistryError> {
        let found = repository.fallback(tag).await?;
        let (mut list, headers) =
            found.unwrap_or_else(|| (json!({"schemaVersion": 2, "mediaType": OCI_INDEX}), HeaderMap::new()));
        if self.is_in(&list) {
            return Ok(true);
        }
        let entry = serde_json::to_value(&self.entry).expect("a descriptor holds only text and numbers");
        match list["manifests"].as_array_mut() {
            Some(entries) => entries.push(entry),
            None => list["manifests"] = json!([entry]),
        }
        let replaces = headers.get(ETAG).and_then(|tag| tag.to_str().ok());
        let text = list.to_string();
        let document = Document { name: tag, bytes: text.as_bytes(), media_type: OCI_INDEX, replaces };
        match repository.put_manifest(&document).await {
            Ok(_) => Ok(true),
            Err(RegistryError::NotTaken { refusal: Refusal::Changed, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn is_in(&self, list: &Value) -> bool {
        let digest = self.entry.digest.to_string();
        let entries = list["manifests"].as_array();
        entries.is_some_and(|entries| entries.iter().any(|entry| entry["digest"].as_str() == Some(&digest)))
    }
}

impl Repository {
    /// What refers to `subject` and is of a type.
    ///
    /// # Errors
    /// When the registry cannot be reached. One that answers something odd has no list.
    pub async fn referrers(&self, subject: &Digest, artifact_type: &str) -> Result<Referrers, RegistryError> {
        let mut referrers = Referrers::default();
        match self.list(subject, artifact_type, &mut referrers).await {
            Ok(()) => {}
            Err(error @ (RegistryError::Unreachable { .. } | RegistryError::PlainHttp { .. })) => return Err(error),
            Err(error) => referrers.oddity = Some(error.to_string()),
        }
        Ok(referrers)
    }

    async fn list(
        &self,
        subject: &Digest,
        artifact_type: &str,
        referrers: &mut Referrers,
    ) -> Result<(), RegistryError> {
        let is_wanted = |entry: &Descriptor| entry.artifact_type.as_deref() == Some(artifact_type);
        let first = self.first_page(subject, artifact_type).await;
        let origin = self.server.origin().await.map_err(|setback| self.broken(setback))?;
        let mut next = Some(first.map_err(|setback| self.broken(setback))?);
        for number in 0..MAX_PAGES {
            let Some(url) = next.take() else { return Ok(()) };
            let page = match self.page(subject, url).await {
                Err(RegistryError::NotFound { .. }) if number == 0 => self.fallback_page(subject).await?,
                page => page?,
            };
            let is_more = page.next.is_some();
            referrers.found.extend(page.entries.into_iter().filter(is_wanted));
            if referrers.found.len() > MAX_ENTRIES {
                referrers.found.truncate(MAX_ENTRIES);
                referrers.oddity = Some(self.too_many(subject, "entries", MAX_ENTRIES));
                return Ok(());
            }
            next = page.next.filter(|next| next.origin() == origin.origin());
            if is_more && next.is_none() {
                let registry = &self.server.name;
                referrers.oddity = Some(format!(
                    "registry `{registry}` lists what is about `{subject}` in pages, and goes on at another server; the rest is passed over"
                ));
            }
        }
        referrers.oddity = next.map(|_| self.too_many(subject, "pages", MAX_PAGES));
        Ok(())
    }

    fn too_many(&self, subject: &Digest, what: &str, limit: usize) -> String {
        format!("registry `{}` lists over {limit} {what} about `{subject}`; the rest is passed over", self.server.name)
    }

    async fn first_page(&self, subject: &Digest, artifact_type: &str) -> Result<Url, Setback> {
        let mut url = self.url(&format!("referrers/{subject}")).await?;
        url.query_pairs_mut().append_pair("artifactType", artifact_type);
        Ok(url)
    }

    /// One page of the registry's own list.
    async fn page(&self, subject: &Digest, url: Url) -> Result<Page, RegistryError> {
        let wanted = format!("referrers of {}", self.blob_name(subject));
        let (bytes, headers) = self.insist(&wanted, async || self.index(url.clone()).await).await?;
        let next = next_page(&url, &headers);
        Ok(Page { entries: self.entries(&bytes, &wanted)?, next })
    }

    /// The list under the fallback tag, which is one page; an empty one where there is none.
    async fn fallback_page(&self, subject: &Digest) -> Result<Page, RegistryError> {
        let tag = fallback_tag(subject);
        let wanted = format!("{}:{tag}", self.name);
        let entries = match self.manifest_at(&tag, &wanted).await {
            Ok((bytes, _)) => self.entries(&bytes, &wanted)?,
            Err(RegistryError::NotFound { .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(Page { entries, next: None })
    }

    fn entries(&self, bytes: &[u8], wanted: &str) -> Result<Vec<Descriptor>, RegistryError> {
        let list: Result<List, _> = serde_json::from_slice(bytes);
        list.map(|list| list.manifests.0).map_err(|error| self.no_index(wanted, error.to_string()))
    }

    /// The list under the fallback tag as it is, with the headers that came with it.
    async fn fallback(&self, tag: &str) -> Result<Option<(Value, HeaderMap)>, RegistryError> {
        let wanted = format!("{}:{tag}", self.name);
        let (bytes, headers) = match self.manifest_at(tag, &wanted).await {
            Ok(found) => found,
            Err(RegistryError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let list: Value = serde_json::from_slice(&bytes).map_err(|error| self.no_index(&wanted, error.to_string()))?;
        // It is replaced, so it must be what we take it for.
        if list["mediaType"].as_str().is_some_and(|media_type| media_type != OCI_INDEX) || list.get("config").is_some()
        {
            return Err(self.no_index(&wanted, "it is another manifest".to_owned()));
        }
        Ok(Some((list, headers)))
    }

    async fn manifest_at(&self, tag: &str, wanted: &str) -> Result<(Vec<u8>, HeaderMap), RegistryError> {
        self.insist(wanted, async || self.index(self.url(&format!("manifests/{tag}")).await?).await).await
    }

    /// The bytes of an image index.
    async fn index(&self, url: Url) -> Result<(Vec<u8>, HeaderMap), Setback> {
        let access = self.access().await?;
        let question = self.server.transport.get(url, |request| access.furnish(request).header(ACCEPT, OCI_INDEX));
        self.server.transport.document(question, MAX_MANIFEST).await
    }

    fn no_index(&self, wanted: &str, reason: String) -> RegistryError {
        let reason = format!("no image index: {reason}");
        RegistryError::Corrupt { registry: self.server.name.clone(), wanted: wanted.to_owned(), reason }
    }
}

/// The tag that a list is kept under where the registry keeps none.
fn fallback_tag(subject: &Digest) -> String {
    format!("sha256-{}", subject.hex())
}

/// The page after the one at `url`, as a `Link` header names it (RFC 8288).
fn next_page(url: &Url, headers: &HeaderMap) -> Option<Url> {
    let links = headers.get_all(LINK).into_iter().filter_map(|link| link.to_str().ok());
    links.flat_map(|links| links.split(',')).find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = parameters.split(';').any(|parameter| {
            let parameter = parameter.trim();
            parameter.eq_ignore_ascii_case("rel=next") || parameter.eq_ignore_ascii_case("rel=\"next\"")
        });
        if is_next { url.join(target).ok() } else { None }
    })
}
