//! Resolving: reference and platform → image, from layouts, the cache, mirrors and registries, in this order.

use std::collections::HashSet;
use std::io::Read;
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::answer::Part;
use super::manifest::{Document, Flaw, MAX_CONFIG, MAX_MANIFEST, Manifest};
use super::mirror::Endpoint;
use super::patient::PatientStream;
use super::referrers::Referrers;
use super::registry::Repository;
use super::stream::BlobStream;
use super::{
    Credentials, Descriptor, Error, Image, ImageConfig, Mirror, Problem, PushError, Pusher, Reference, Registry,
    RegistryError, Timeouts, Trust,
};
use crate::base::{Digest, Ending, Event, Fault, Monitor, Platform, Silent, in_line};
use crate::blob::{self, Cause, Fetch, Named, Store};

/// Image indexes inside image indexes, at most.
pub(super) const MAX_DEPTH: u32 = 4;

/// When registries are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pull {
    /// For what is not here.
    #[default]
    Missing,
    /// For every tag that no layout has, even when the cache knows it.
    Always,
    /// Never.
    Never,
}

/// How images are looked for.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// When registries are asked.
    pub pull: Pull,
    /// Asked before the registries they stand for, in this order.
    pub mirrors: Vec<Mirror>,
    /// What registries are told.
    pub credentials: Credentials,
    /// Whom TLS trusts.
    pub trust: Trust,
    /// How long registries are waited for.
    pub timeouts: Timeouts,
    /// When they are waited for no longer.
    pub ending: Ending,
}

/// Finds images. Shared between threads: several references are resolved at once by as many callers. A copy is the same.
#[derive(Clone)]
pub struct Resolver {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) store: Arc<Store>,
    options: Options,
    registry: Registry,
    /// What the layouts name, in their order; they are read once, since nobody changes them under us.
    layouts: OnceLock<Vec<Names>>,
}

/// References with what they name.
type Names = Vec<(Reference, Descriptor)>;

/// A manifest or image index with its bytes.
pub(super) struct Fetched {
    pub descriptor: Descriptor,
    pub bytes: Vec<u8>,
    pub document: Document,
}

/// One repository and all servers it may be on.
#[derive(Clone)]
struct Origin {
    inner: Arc<Inner>,
    reference: Reference,
    /// When nobody wants what is fetched any more.
    stop: Ending,
}

/// What a search has passed by.
#[derive(Default)]
struct Passed {
    /// Platforms that are not wanted.
    platforms: Vec<Platform>,
    /// Manifests and image indexes that lead to nothing.
    documents: HashSet<Digest>,
}

/// The entries whose annotations are references. A bare tag, as umoci writes it, is no name.
fn names_of(entries: Vec<Named>) -> Names {
    let mut found = Names::new();
    for Named { names, descriptor } in entries {
        let references = names.iter().filter(|name| name.contains(['/', ':', '@']));
        found.extend(references.filter_map(|name| Some((name.parse().ok()?, descriptor.clone()))));
    }
    found
}

impl Resolver {
    /// A resolver that keeps in `store` what it is told, and looks there first.
    pub fn new(store: Arc<Store>, options: Options) -> Self {
        let Options { credentials, trust, timeouts, ending, .. } = options.clone();
        let registry = Registry::new(credentials, trust, timeouts, ending);
        Self { inner: Arc::new(Inner { store, options, registry, layouts: OnceLock::new() }) }
    }

    /// Whether [`resolve`](Self::resolve) most likely asks no registry for this reference.
    pub fn is_near(&self, reference: &Reference) -> bool {
        match reference.digest() {
            Some(digest) => matches!(self.inner.store.small(&digest, MAX_MANIFEST), Ok(Some(_))),
            None => matches!(self.origin(reference).named_here(), Ok(Some(_))),
        }
    }

    /// Finds the image that `reference` means on `platform`.
    ///
    /// # Errors
    /// `ImageNotFound`, also for a missing platform; `Unreachable`, `Denied`, `Corrupt`, `Unsupported`, `Io`.
    pub fn resolve(&self, reference: &Reference, platform: &Platform, monitor: &dyn Monitor) -> Result<Image, Error> {
        let name = reference.to_string();
        monitor.event(Event::Resolving { reference: name.clone() });
        let origin = self.origin(reference);
        let image = origin.image(platform, monitor).map_err(|problem| Error { reference: name.clone(), problem })?;
        monitor.event(Event::Resolved { reference: name, digest: *image.digest() });
        Ok(image)
    }

    /// The digest of what `reference` means on all platforms: an image index, or a manifest.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve), platforms apart.
    pub fn digest(&self, reference: &Reference, monitor: &dyn Monitor) -> Result<Digest, Error> {
        let root = self.origin(reference).root(monitor);
        let root = root.map_err(|problem| Error { reference: reference.to_string(), problem })?;
        Ok(root.descriptor.digest)
    }

    /// The digest of what the tag of `reference` means now, of which nothing but the digest is fetched: what mirrors or the
    /// registry say, or the cache where none may be asked. None of what cannot change: a digest, and what a layout names.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub fn latest(&self, reference: &Reference, monitor: &dyn Monitor) -> Result<Option<Digest>, Error> {
        let latest = self.origin(reference).latest(monitor);
        latest.map_err(|problem| Error { reference: reference.to_string(), problem })
    }

    /// Asks mirrors or the registry what the tag of `reference` means, whatever the cache says, which knows it then. Does
    /// nothing where none may be asked.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub fn renew(&self, reference: &Reference, monitor: &dyn Monitor) -> Result<(), Error> {
        if self.inner.options.pull == Pull::Never {
            return Ok(());
        }
        let origin = self.origin(reference);
        let renewed = origin.ask(None, monitor).and_then(Fetched::parse).and_then(|found| origin.record(&found));
        renewed.map_err(|problem| Error { reference: reference.to_string(), problem })
    }

    /// Where the layers of `reference` come from when they are not here; fails for each when nothing may be asked.
    pub fn fetcher(&self, reference: &Reference) -> Arc<dyn Fetch> {
        Arc::new(self.origin(reference))
    }

    /// The same for layers that nobody wants any more when `stop` is near: what is being fetched fails soon then.
    pub fn fetcher_until(&self, reference: &Reference, stop: &Ending) -> Arc<dyn Fetch> {
        Arc::new(Origin { stop: stop.clone(), ..self.origin(reference) })
    }

    /// The bytes of a manifest that [`referrers`](Self::referrers) lists.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub fn artifact(&self, reference: &Reference, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
        let found = self.origin(reference).document(descriptor);
        found.map(|found| found.bytes).map_err(|problem| Error { reference: reference.to_string(), problem })
    }

    /// The bytes of a small blob in the repository of `reference`, verified, and kept in the store.
    ///
    /// # Errors
    /// `Unsupported` above `limit` bytes; else as [`resolve`](Self::resolve).
    pub fn small(&self, reference: &Reference, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, Error> {
        let found = self.origin(reference).bounded(descriptor, limit);
        found.map_err(|problem| Error { reference: reference.to_string(), problem })
    }

    /// Puts blobs and manifests into the repository of `target`, at its own registry and at no mirror; one that is the
    /// registry itself says how it is spoken to. With a `source` in the same registry, blobs that this repository has are
    /// not sent.
    ///
    /// # Errors
    /// When no registry may be asked, or the network client cannot start.
    pub fn pusher(&self, target: &Reference, source: Option<&Reference>) -> Result<Pusher, PushError> {
        if self.inner.options.pull == Pull::Never {
            return Err(PushError::offline(target));
        }
        let endpoint = Mirror::own_endpoint(&self.inner.options.mirrors, target.registry());
        Pusher::new(&self.inner.registry, &endpoint, target, source)
    }

    /// What refers to `subject`, a manifest in the repository of `reference`, and is of a type. The first mirror that
    /// answers is believed, also when it lists nothing, else the registry is. None where no registry may be asked. A
    /// registry that answers something odd lists nothing, and the monitor is warned.
    ///
    /// # Errors
    /// `Unreachable`.
    pub fn referrers(
        &self,
        reference: &Reference,
        subject: &Digest,
        artifact_type: &str,
        monitor: &dyn Monitor,
    ) -> Result<Vec<Descriptor>, Error> {
        if self.inner.options.pull == Pull::Never {
            return Ok(Vec::new());
        }
        let origin = self.origin(reference);
        let ask = |endpoint: &Endpoint| {
            let repository = origin.repository(endpoint)?;
            let Referrers { found, oddity } = origin.answer(endpoint, repository.referrers(subject, artifact_type))?;
            oddity.into_iter().for_each(|oddity| monitor.event(Event::Warning(oddity)));
            Ok(found)
        };
        let found = origin.first(monitor, ask);
        found.map_err(|error| Error { reference: reference.to_string(), problem: error.into() })
    }

    /// What `reference` leads to in all platforms, for [`closure`](Self::closure).
    pub(super) fn root(&self, reference: &Reference, monitor: &dyn Monitor) -> Result<(Fetched, Graph), Problem> {
        let origin = self.origin(reference);
        let root = origin.root(monitor)?;
        Ok((root, Graph { origin }))
    }

    fn origin(&self, reference: &Reference) -> Origin {
        Origin { inner: Arc::clone(&self.inner), reference: reference.clone(), stop: Ending::default() }
    }
}

/// The documents below a reference.
pub(super) struct Graph {
    origin: Origin,
}

impl Graph {
    /// A manifest or image index.
    pub fn document(&self, descriptor: &Descriptor) -> Result<Fetched, Problem> {
        self.origin.document(descriptor)
    }

    /// The bytes of an image config or the like.
    pub fn small(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Problem> {
        self.origin.small(descriptor)
    }
}

impl Origin {
    fn image(&self, platform: &Platform, monitor: &dyn Monitor) -> Result<Image, Problem> {
        let found = self.root(monitor)?;
        let root = found.descriptor.digest;
        let mut passed = Passed::default();
        match self.choose(found, platform, &mut passed, MAX_DEPTH)? {
            Some(image) => Ok(Image { root, ..image }),
            None => {
                let mut seen = HashSet::new();
                passed.platforms.retain(|platform| seen.insert(platform.clone()));
                Err(Problem::Platform { wanted: platform.clone(), available: passed.platforms })
            }
        }
    }

    /// What the reference leads to: a manifest or image index.
    fn root(&self, monitor: &dyn Monitor) -> Result<Fetched, Problem> {
        let store = &self.inner.store;
        if let Some(digest) = self.reference.digest() {
            return self.document(&Descriptor::new("", digest, 0));
        }
        if let Some(descriptor) = self.named_in_layouts()? {
            return self.document(&descriptor);
        }
        if let Some(Descriptor { digest, .. }) = self.named_in_cache()? {
            match store.small(&digest, MAX_MANIFEST)? {
                Some(bytes) => return Fetched::parse(bytes),
                None if self.inner.options.pull == Pull::Never => return Err(Problem::BlobNotHere { digest }),
                // Damaged or cleaned away: the tag is resolved again.
                None => {}
            }
        }
        let bytes = self.ask(None, monitor)?;
        let found = Fetched::parse(bytes)?;
        self.record(&found)?;
        Ok(found)
    }

    fn latest(&self, monitor: &dyn Monitor) -> Result<Option<Digest>, Problem> {
        if self.reference.digest().is_some() || self.named_in_layouts()?.is_some() {
            return Ok(None);
        }
        if self.inner.options.pull == Pull::Never {
            return Ok(self.named_in_cache()?.map(|descriptor| descriptor.digest));
        }
        Ok(Some(self.first(monitor, |endpoint| self.answer(endpoint, self.repository(endpoint)?.tagged()))?))
    }

    /// What a layout or the cache says that the reference means.
    fn named_here(&self) -> Result<Option<Descriptor>, Problem> {
        let in_layouts = self.named_in_layouts()?;
        if in_layouts.is_some() { Ok(in_layouts) } else { self.named_in_cache() }
    }

    fn named_in_layouts(&self) -> Result<Option<Descriptor>, Problem> {
        let layouts = match self.inner.layouts.get() {
            Some(layouts) => layouts,
            None => {
                let read = |layout: &blob::Layout| layout.entries().map(names_of);
                let read = self.inner.store.layouts().iter().map(read).collect::<Result<_, _>>()?;
                self.inner.layouts.get_or_init(|| read)
            }
        };
        Ok(layouts.iter().find_map(|names| self.named(names)))
    }

    fn named_in_cache(&self) -> Result<Option<Descriptor>, Problem> {
        if self.inner.options.pull == Pull::Always {
            return Ok(None);
        }
        Ok(self.named(&names_of(self.inner.store.entries()?)))
    }

    /// What the reference names: rather what is written alike than what leaves out `latest`.
    fn named(&self, names: &Names) -> Option<Descriptor> {
        let alike = || names.iter().find(|(name, _)| name.means(&self.reference));
        let found = names.iter().find(|(name, _)| *name == self.reference).or_else(alike);
        found.map(|(_, descriptor)| descriptor.clone())
    }

    /// Keeps the bytes of what a registry said the reference means, and the name.
    fn record(&self, found: &Fetched) -> Result<(), Problem> {
        self.inner.store.put(&found.bytes)?;
        self.inner.store.record_name(&self.reference.to_string(), &found.descriptor)?;
        Ok(())
    }

    /// The manifest or image index of a descriptor, from the store or else a registry.
    fn document(&self, descriptor: &Descriptor) -> Result<Fetched, Problem> {
        let store = &self.inner.store;
        if let Some(bytes) = store.small(&descriptor.digest, MAX_MANIFEST)? {
            return Fetched::parse(bytes);
        }
        let bytes = self.ask(Some(&descriptor.digest), &Silent)?;
        let found = Fetched::parse(bytes)?;
        if self.reference.digest() == Some(descriptor.digest) {
            self.record(&found)?;
        } else {
            store.put(&found.bytes)?;
        }
        Ok(found)
    }

    /// An image config, from the store or else a registry.
    fn small(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Problem> {
        self.bounded(descriptor, MAX_CONFIG)
    }

    /// A small blob, from the store or else a registry.
    fn bounded(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, Problem> {
        let Descriptor { digest, size, .. } = *descriptor;
        if size > limit {
            return Err(blob::Error::TooLarge { digest, size, limit }.into());
        }
        if let Some(bytes) = self.inner.store.small(&digest, limit)? {
            return Ok(bytes);
        }
        if self.inner.options.pull == Pull::Never {
            return Err(Problem::BlobNotHere { digest });
        }
        let bytes = match self.downloaded(&digest, size) {
            // Damaged on the way, perhaps.
            Err(blob::Error::WrongDigest { .. }) => self.downloaded(&digest, size)?,
            downloaded => downloaded?,
        };
        self.inner.store.put(&bytes)?;
        Ok(bytes)
    }

    /// All bytes of a small blob, verified.
    fn downloaded(&self, digest: &Digest, size: u64) -> Result<Vec<u8>, blob::Error> {
        let mut bytes = Vec::new();
        let mut stream = self.fetch_whole(digest, size)?;
        stream.read_to_end(&mut bytes).map_err(|error| blob::Error::from_stream(digest, error))?;
        match Digest::of(&bytes) {
            found if found == *digest => Ok(bytes),
            found => Err(blob::Error::WrongDigest { expected: *digest, found }),
        }
    }

    /// The image for `wanted` below `found`, each document looked at once.
    fn choose(
        &self,
        found: Fetched,
        wanted: &Platform,
        passed: &mut Passed,
        depth: u32,
    ) -> Result<Option<Image>, Problem> {
        let entries = match found.document {
            Document::Manifest(manifest) => {
                return self.checked(&manifest, found.descriptor, found.bytes, (wanted, &mut passed.platforms));
            }
            Document::Index(_) if depth == 0 => return Err(too_deep(found.descriptor.digest)),
            Document::Index(entries) => entries,
        };
        for entry in in_order(entries, wanted, &mut passed.platforms) {
            if !passed.documents.insert(entry.digest) {
                continue;
            }
            if let Some(image) = self.choose(self.document(&entry)?, wanted, passed, depth - 1)? {
                return Ok(Some(image));
            }
        }
        Ok(None)
    }

    /// The image of a manifest, unless it is for another platform.
    fn checked(
        &self,
        manifest: &Manifest,
        descriptor: Descriptor,
        bytes: Vec<u8>,
        (wanted, available): (&Platform, &mut Vec<Platform>),
    ) -> Result<Option<Image>, Problem> {
        let digest = descriptor.digest;
        if !manifest.is_image() {
            let reason = format!("its config has media type `{}`, which is no image's", manifest.config.media_type);
            return Err(Problem::Unsupported { digest, reason });
        }
        let config_bytes = self.small(&manifest.config)?;
        let config_digest = manifest.config.digest;
        let config = ImageConfig::parse(&config_bytes).map_err(|flaw| flaw.of(config_digest))?;
        if !config.suits(wanted) {
            available.push(config.platform);
            return Ok(None);
        }
        let layers = manifest.layers(&config).map_err(|flaw| flaw.of(digest))?;
        let reference = self.reference.clone();
        Ok(Some(Image {
            reference,
            root: digest,
            manifest: descriptor,
            manifest_bytes: bytes.into(),
            config: config.into(),
            config_type: manifest.config.media_type.clone(),
            config_digest,
            config_bytes: config_bytes.into(),
            layers: layers.into(),
        }))
    }

    /// Asks mirrors and registry for a manifest by digest, or by the tag of the reference.
    fn ask(&self, digest: Option<&Digest>, monitor: &dyn Monitor) -> Result<Vec<u8>, Problem> {
        if self.inner.options.pull == Pull::Never {
            let part = digest.filter(|digest| self.reference.digest() != Some(**digest));
            return Err(part.map_or(Problem::NotHere, |digest| Problem::BlobNotHere { digest: *digest }));
        }
        let asked = self.first(monitor, |endpoint| self.answer(endpoint, self.repository(endpoint)?.manifest(digest)));
        asked.map_err(Problem::from)
    }

    /// A part of a blob, from the first of mirrors and registry that gives it; none is asked again after `until`.
    fn open(&self, digest: &Digest, part: &Part, until: Option<Instant>) -> Result<BlobStream, RegistryError> {
        self.first(&Silent, |endpoint| {
            let blocking = self.inner.registry.blocking(&endpoint.host)?.until(&self.stop);
            BlobStream::open(blocking, self.repository(endpoint)?.until(until), digest, part.clone())
        })
    }

    /// Waits for the answer of a server.
    fn answer<T>(
        &self,
        endpoint: &Endpoint,
        question: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        let answer = self.inner.registry.blocking(&endpoint.host)?.wait(question);
        answer.unwrap_or_else(|| Err(RegistryError::Interrupted { registry: endpoint.host.clone() }))
    }

    fn repository(&self, endpoint: &Endpoint) -> Result<Repository, RegistryError> {
        self.inner.registry.repository(endpoint, &self.reference)
    }

    /// Whether anybody may be asked for a blob.
    fn may_ask(&self, digest: &Digest) -> Result<(), blob::Error> {
        match self.inner.options.pull {
            Pull::Never => Err(failed(digest, Problem::BlobNotHere { digest: *digest })),
            Pull::Missing | Pull::Always => Ok(()),
        }
    }

    /// The first answer of mirrors and registry; the registry's own error counts when there is none.
    fn first<T>(
        &self,
        monitor: &dyn Monitor,
        ask: impl Fn(&Endpoint) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let registry = self.reference.registry();
        for mirror in Mirror::of(&self.inner.options.mirrors, registry) {
            match ask(&mirror.endpoint) {
                // That a mirror does not have everything is what the registry is asked for.
                Err(RegistryError::NotFound { .. }) => {}
                Err(error) => {
                    let warning = format!("mirror of `{registry}` is passed over: {}", in_line(&error));
                    monitor.event(Event::Warning(warning));
                }
                answer => return answer,
            }
        }
        ask(&Endpoint::of_registry(registry))
    }
}

impl Fetch for Origin {
    fn fetch(&self, digest: &Digest, range: Range<u64>) -> Result<Box<dyn Read + Send>, blob::Error> {
        self.may_ask(digest)?;
        Ok(Box::new(self.open(digest, &Part::of(range), None).map_err(|error| failed(digest, error))?))
    }

    fn check(&self, digest: &Digest) -> Result<(), blob::Error> {
        self.may_ask(digest)
    }

    fn fetch_whole(&self, digest: &Digest, size: u64) -> Result<Box<dyn Read + Send>, blob::Error> {
        self.may_ask(digest)?;
        Ok(Box::new(self.open(digest, &Part::whole(size), None).map_err(|error| failed(digest, error))?))
    }

    fn read_range(&self, digest: &Digest, range: Range<u64>) -> Result<Box<dyn Read + Send>, blob::Error> {
        self.may_ask(digest)?;
        let blocking =
            self.inner.registry.blocking(self.reference.registry()).map_err(|error| failed(digest, error))?;
        let (origin, end, blob) = (self.clone(), range.end, *digest);
        let open = Box::new(move |next, until| origin.open(&blob, &Part::of(next..end), Some(until)));
        let waiting = (blocking, self.inner.registry.timeouts().reader);
        Ok(Box::new(PatientStream::start(open, digest, range, waiting)?))
    }
}

fn failed(digest: &Digest, source: impl Fault) -> blob::Error {
    blob::Error::Fetch { digest: *digest, source: Cause::new(source) }
}

impl Fetched {
    fn parse(bytes: Vec<u8>) -> Result<Self, Problem> {
        let digest = Digest::of(&bytes);
        let (document, media_type) = Document::parse(&bytes).map_err(|flaw| flaw.of(digest))?;
        Ok(Self { descriptor: Descriptor::new(media_type, digest, bytes.len() as u64), bytes, document })
    }
}

impl Flaw {
    /// The flaw of this document.
    pub(super) fn of(self, digest: Digest) -> Problem {
        match self {
            Self::Malformed(reason) => Problem::Malformed { digest, reason },
            Self::Unsupported(reason) => Problem::Unsupported { digest, reason },
        }
    }
}

/// The problem of an image index below [`MAX_DEPTH`] others.
pub(super) fn too_deep(digest: Digest) -> Problem {
    let reason = format!("image indexes are nested more than {MAX_DEPTH} deep");
    Problem::Unsupported { digest, reason }
}

/// The entries of an image index worth looking into, best first: the very platform, then others that it accepts, then
/// entries that do not say what they are for. Artifacts about images, such as attestations, are passed over.
fn in_order(entries: Vec<Descriptor>, wanted: &Platform, available: &mut Vec<Platform>) -> Vec<Descriptor> {
    let mut ranked = Vec::new();
    for entry in entries.into_iter().filter(|entry| entry.artifact_type.is_none()) {
        match entry.platform.as_ref().map(Platform::from) {
            None => ranked.push((2, entry)),
            Some(platform) if platform == *wanted => ranked.push((0, entry)),
            Some(platform) if wanted.accepts(&platform) => ranked.push((1, entry)),
            Some(platform) if platform.architecture == "unknown" => {}
            Some(platform) => available.push(platform),
        }
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, entry)| entry).collect()
}
