//! Images out of the cache into registries.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::held::{layer, offline, whole};
use super::images::{Images, PASSES, all_side_by_side};
use super::{Asked, Error, Origins, Problem};
use crate::base::{Digest, ErrorKind, Fault as _, Monitor};
use crate::extent::{Bytes, SharedSource};
use crate::oci::{Closure, Descriptor, Options, PushError, Pushed, Pusher, Reference, Resolver};

/// An image that is in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushedImage {
    /// Its name in the cache.
    pub reference: Reference,
    /// Its name in the registry.
    pub target: Reference,
    /// What was pushed: an image index or a manifest.
    pub root: Digest,
    /// How many blobs were sent, and not there before.
    pub sent: usize,
    /// Bytes of them.
    pub size: u64,
}

/// Where an image goes.
struct Target<'a> {
    images: &'a Images<'a>,
    reference: &'a Reference,
    pusher: Pusher,
}

/// Puts images that are whole in the cache into the registries of their names, or all of them into the repository `to`,
/// under their tags unless that has one. Nothing is sent before all images are known to be whole.
///
/// # Errors
/// When an image is not in the cache or not whole, or a registry does not take it.
pub fn push(
    asked: &[Asked],
    to: Option<&Reference>,
    origins: &Origins,
    monitor: &dyn Monitor,
) -> Result<Vec<PushedImage>, Error> {
    let targets = targets(asked, to)?;
    let held = offline(origins);
    let images = Images::new(&held, monitor)?;
    let closures = asked.iter().map(|asked| whole(&images, asked)).collect::<Result<Vec<_>, Problem>>()?;
    let Origins { credentials, mirrors, trust, .. } = origins.clone();
    let options = Options { credentials, mirrors, trust, ..Options::default() };
    let resolver = Resolver::new(images.store.clone(), options);
    let pushed = asked.iter().zip(&targets).zip(closures).map(|((Asked { reference, .. }, target), closure)| {
        let pusher = resolver.pusher(target, Some(reference))?;
        let (sent, size) = Target { images: &images, reference, pusher }.take(&closure, target)?;
        Ok(PushedImage { reference: reference.clone(), target: target.clone(), root: closure.root.digest, sent, size })
    });
    Ok(pushed.collect::<Result<_, Problem>>()?)
}

/// Where each image goes.
fn targets(asked: &[Asked], to: Option<&Reference>) -> Result<Vec<Reference>, Problem> {
    let mut taken = BTreeMap::new();
    let target = |asked: &Asked| {
        let target = to.map_or_else(|| asked.reference.clone(), |to| to.or_tag_of(&asked.reference));
        match taken.insert(target.to_string(), asked.reference.to_string()) {
            Some(other) if other != asked.reference.to_string() => {
                Err(Problem::SameTarget { names: [other, asked.reference.to_string()], target: target.to_string() })
            }
            _ => Ok(target),
        }
    };
    asked.iter().map(target).collect()
}

impl Target<'_> {
    /// Puts an image there, each thing before what names it; how many blobs were sent, and their bytes.
    fn take(&self, closure: &Closure, target: &Reference) -> Result<(usize, u64), Problem> {
        let (manifests, configs) = closure.split_documents();
        let configs = configs.into_iter().map(|(descriptor, bytes)| {
            (descriptor, Some(Arc::new(Bytes(bytes.clone().into_boxed_slice())) as SharedSource))
        });
        let layers = closure.layers.iter().map(|descriptor| (descriptor, None));
        let blobs: Vec<(&Descriptor, Option<SharedSource>)> = configs.chain(layers).collect();
        let sent = all_side_by_side(&blobs, PASSES, |(descriptor, bytes)| self.blob(descriptor, bytes.clone()))?;
        for (descriptor, bytes) in manifests.into_iter().rev() {
            let tag = (descriptor.digest == closure.root.digest).then(|| tag_of(target)).flatten();
            self.pusher.manifest(bytes, &descriptor.media_type, tag)?;
        }
        let sent = sent.into_iter().flatten();
        Ok(sent.fold((0, 0), |(count, total), size| (count + 1, total + size)))
    }

    /// Puts a blob there; its size if it was sent.
    fn blob(&self, descriptor: &Descriptor, bytes: Option<SharedSource>) -> Result<Option<u64>, Problem> {
        let content = match bytes {
            Some(bytes) => bytes,
            None => layer(self.images, self.reference, descriptor)?,
        };
        match self.pusher.blob(descriptor, content, self.images.monitor) {
            Ok(pushed) => Ok((pushed == Pushed::Sent).then_some(descriptor.size)),
            Err(error) => Err(self.forget_damaged(descriptor, error)),
        }
    }

    /// Drops what the cache has of a blob that turned out to be damaged, so that a pull brings it again.
    fn forget_damaged(&self, descriptor: &Descriptor, error: PushError) -> Problem {
        let is_damaged = error.is_about_content() && error.kind() == ErrorKind::Corrupt;
        match is_damaged.then(|| self.images.store.discard(&descriptor.digest)) {
            Some(Err(discarding)) => discarding.into(),
            _ => error.into(),
        }
    }
}

/// The tag that an image is pushed under; none for a name that has a digest alone.
fn tag_of(target: &Reference) -> Option<&str> {
    match (target.tag(), target.digest()) {
        (None, Some(_)) => None,
        _ => Some(target.tag_or_latest()),
    }
}
