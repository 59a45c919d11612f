//! Putting blobs and manifests into a registry, behind calls that block.
//!
//! # Format
//! OCI distribution specification 1.1, "Push": a blob is asked for with HEAD, taken over from another repository, or
//! sent in one request after the registry has said where to; then a manifest follows by its tag or digest. A manifest with
//! a `subject` is also listed under the fallback tag of that, unless the registry says that it keeps such lists.
//!
//! # Invariants
//! - Nothing is sent that the registry has. What is sent is checked on the way, so that damage here is an error here.
//! - A token goes to the registry alone, wherever it wants the bytes sent to.

use super::blocking::Blocking;
use super::mirror::Endpoint;
use super::referrers::Subject;
use super::registry::Repository;
use super::upload::Content;
use super::write::{Document, Pushed};
use super::{Descriptor, PushError, PushProblem, Reference, Registry, RegistryError};
use crate::base::{Digest, ErrorKind, Event, Monitor};
use crate::extent::{ReadError, SharedSource};

/// Puts blobs and manifests into one repository of a registry.
pub struct Pusher {
    blocking: Blocking,
    repository: Repository,
    /// Another repository of the registry, which may have what is pushed.
    source: Option<String>,
    /// Registry and repository.
    target: String,
}

impl Pusher {
    /// Puts things into the repository of `target`; nothing is connected to yet. With a `source`, a repository of the same
    /// registry, blobs that this has are not sent.
    pub(super) fn new(
        registry: &Registry,
        endpoint: &Endpoint,
        target: &Reference,
        source: Option<&Reference>,
    ) -> Result<Self, PushError> {
        let name = format!("{}/{}", target.registry(), target.repository());
        let place = |reference: &Reference| (reference.registry().to_owned(), reference.repository().to_owned());
        let source = source.filter(|source| source.registry() == target.registry() && place(source) != place(target));
        let source = source.map(|source| source.repository().to_owned());
        let made = registry.blocking(&endpoint.host).and_then(|blocking| {
            let repository = registry.repository(endpoint, target)?;
            Ok((blocking, repository.for_pushes(source.as_deref())))
        });
        let (blocking, repository) = made.map_err(|error| PushError { target: name.clone(), problem: error.into() })?;
        Ok(Self { blocking, repository, source, target: name })
    }

    /// Puts a blob there, unless it is there.
    ///
    /// # Errors
    /// `Unreachable`, `Denied`; `Corrupt` when `content` is not the blob, and what reading it says.
    pub fn blob(
        &self,
        descriptor: &Descriptor,
        content: SharedSource,
        monitor: &dyn Monitor,
    ) -> Result<Pushed, PushError> {
        let Descriptor { digest, size, .. } = *descriptor;
        if content.size() != size {
            let message = format!("blob `{digest}` has {} bytes, its descriptor says {size}", content.size());
            return Err(self.failed(ReadError::new(ErrorKind::Corrupt, message)));
        }
        monitor.event(Event::BlobStarted { digest, size });
        let told = |done| monitor.event(Event::BlobProgress { digest, done });
        let content = Content { digest, source: content };
        let push = self.repository.push_blob(&content, self.source.as_deref(), &told);
        let pushed = self.wait(push)?;
        told(size);
        monitor.event(Event::BlobFinished { digest });
        Ok(pushed)
    }

    /// Puts a manifest or image index there, under a tag or else under its digest alone. All that it names must be there.
    /// One with a `subject` is found with [`referrers`](super::Resolver::referrers) then.
    ///
    /// # Errors
    /// `Unreachable`, `Denied`; `Corrupt` when it is no manifest.
    pub fn manifest(&self, bytes: &[u8], media_type: &str, tag: Option<&str>) -> Result<Digest, PushError> {
        let subject = Subject::of(bytes, media_type).map_err(|flaw| self.failed(PushProblem::NotAManifest(flaw)))?;
        let digest = Digest::of(bytes);
        let name = tag.map_or_else(|| digest.to_string(), str::to_owned);
        let put = async {
            let document = Document { name: &name, bytes, media_type, replaces: None };
            let headers = self.repository.put_manifest(&document).await?;
            match subject.filter(|_| !headers.contains_key("oci-subject")) {
                Some(subject) => subject.note_in(&self.repository).await,
                None => Ok(()),
            }
        };
        self.wait(put)?;
        Ok(digest)
    }

    /// What `work` comes to, unless the program is to end before.
    fn wait<T, E: Into<PushProblem>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, PushError> {
        let registry = || self.repository.server.name.clone();
        let done = self.blocking.wait(work);
        let done = done.ok_or_else(|| self.failed(RegistryError::Interrupted { registry: registry() }))?;
        done.map_err(|problem| self.failed(problem))
    }

    fn failed(&self, problem: impl Into<PushProblem>) -> PushError {
        PushError { target: self.target.clone(), problem: problem.into() }
    }
}
