//! Layer indexes on their way to others: into a registry, or into an OCI layout.

use std::sync::Arc;

use super::foreign::Soci;
use super::images::Images;
use super::published::{Subjects, each_once, name_in_layout, problem};
use super::{Error, IndexTarget, Options, Origins, load};
use crate::base::{Digest, Hasher, Monitor};
use crate::blob::{Descriptor, Layout};
use crate::extent::{Bytes, SharedSource, read_through};
use crate::oci::{
    EMPTY, INDEX_TYPE, Image, IndexManifest, OCI_MANIFEST, PARTS_TYPE, READS_TYPE, Reference, SUMMARIES_TYPE,
    empty_config,
};
use crate::rootfs::Cause;

/// An index that was put somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexPushed {
    /// The image.
    pub image: Reference,
    /// What has the index now.
    pub target: IndexTarget,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Bytes of summaries and parts.
    pub bytes: u64,
}

/// Makes the indexes of images that have none here, and puts them next to the images in their registries, or into another
/// target; with `soci` in SOCI's format, which only a registry takes.
///
/// # Errors
/// What is wrong with specs, images or layers; when the target does not take them.
pub fn push_indexes(
    subjects: &Subjects,
    origins: &Origins,
    (to, soci): (Option<&IndexTarget>, Option<&Soci>),
    monitor: &dyn Monitor,
) -> Result<Vec<IndexPushed>, Error> {
    let found = match subjects {
        // The whole system is made, since a kernel's tar has an index of its own.
        Subjects::Specs(inputs) => {
            let system = load::load(inputs, origins, &Options::default(), monitor)?;
            system.images.into_iter().map(|used| used.image).collect()
        }
        Subjects::Image(reference) => vec![load::load_image(reference, origins, monitor)?.0],
    };
    let images = Images::new(origins, monitor)?;
    let push = |image: &Image| {
        let target = to.cloned().unwrap_or_else(|| IndexTarget::Repository(Box::new(image.reference.clone())));
        let pushed = images.push(image, &target, soci).map_err(|source| problem("push", image, source));
        pushed.map(|(digest, bytes)| IndexPushed { image: image.reference.clone(), target, digest, bytes })
    };
    Ok(each_once(found).iter().map(push).collect::<Result<_, _>>()?)
}

/// An index as it is put somewhere.
struct Outgoing {
    manifest: Vec<u8>,
    blobs: Vec<(Descriptor, SharedSource)>,
    /// Bytes of summaries and parts.
    bytes: u64,
}

impl Images<'_> {
    /// Puts the index of an image somewhere; the digest of its manifest, and the bytes of the index.
    fn push(&self, image: &Image, target: &IndexTarget, soci: Option<&Soci>) -> Result<(Digest, u64), Cause> {
        match (target, soci) {
            (IndexTarget::Repository(repository), Some(soci)) => self.push_soci(image, repository, soci),
            (IndexTarget::Repository(repository), None) => self.push_to(repository, self.outgoing(image)?),
            (IndexTarget::Layout(path), _) => {
                let layout = Layout::open(path).map_err(Cause::new)?;
                add_to(&layout, &name_in_layout(image), self.outgoing(image)?).map_err(Cause::new)
            }
        }
    }

    fn outgoing(&self, image: &Image) -> Result<Outgoing, Cause> {
        let published = self.layers.published(&image.layer_digests()).map_err(Cause::new)?;
        let summaries: SharedSource = Arc::new(Bytes(published.summaries.into()));
        let empty: SharedSource = Arc::new(Bytes(EMPTY.into()));
        // Some registries take no blob without bytes.
        let parts = if published.parts.size() == 0 { empty.clone() } else { published.parts };
        let reads = self.listed_of(image).map(|list| Arc::new(Bytes(list.to_bytes().into())) as SharedSource);
        let index = IndexManifest {
            summaries: described(SUMMARIES_TYPE, &summaries)?,
            parts: described(PARTS_TYPE, &parts)?,
            reads: reads.as_ref().map(|reads| described(READS_TYPE, reads)).transpose()?,
        };
        let (manifest, bytes) = (index.to_bytes(&image.manifest), index.summaries.size + index.parts.size);
        let mut blobs = vec![(empty_config(), empty), (index.summaries, summaries), (index.parts, parts)];
        blobs.extend(index.reads.zip(reads));
        Ok(Outgoing { manifest, blobs, bytes })
    }

    fn push_to(&self, repository: &Reference, outgoing: Outgoing) -> Result<(Digest, u64), Cause> {
        let pusher = self.resolver.pusher(repository, None).map_err(Cause::new)?;
        for (descriptor, content) in outgoing.blobs {
            pusher.blob(&descriptor, content, self.monitor).map_err(Cause::new)?;
        }
        let digest = pusher.manifest(&outgoing.manifest, OCI_MANIFEST, None).map_err(Cause::new)?;
        Ok((digest, outgoing.bytes))
    }
}

/// Adds an index to a layout, whose `index.json` lists it under `name` then.
fn add_to(layout: &Layout, name: &str, outgoing: Outgoing) -> Result<(Digest, u64), crate::blob::Error> {
    let Outgoing { manifest, blobs, bytes } = outgoing;
    let mut entry = Descriptor::new(OCI_MANIFEST, Digest::of(&manifest), manifest.len() as u64);
    entry.artifact_type = Some(INDEX_TYPE.to_owned());
    for (descriptor, content) in &blobs {
        layout.put(descriptor, &**content)?;
    }
    layout.put(&entry, &Bytes(manifest.into()))?;
    layout.add_entry(name, &entry)?;
    Ok((entry.digest, bytes))
}

fn described(media_type: &str, content: &SharedSource) -> Result<Descriptor, Cause> {
    let mut hash = Hasher::default();
    read_through(&**content, &mut |bytes| hash.update(bytes)).map_err(Cause::new)?;
    Ok(Descriptor::new(media_type, hash.finish(), content.size()))
}
