//! Layer indexes in formats of others: read where an image names them, and SOCI's written.
//!
//! # Invariants
//! - What an image names by digest, by annotations of its manifest or of a layer's descriptor, is as trusted as the image,
//!   and used for that image alone: a layer that other images of the system have, too, costs a pass.
//!   SOCI's indexes of version 1 only refer to an image: they are used where published indexes are trusted, and nowhere else.
//! - An index that cannot be used is passed over with a warning: its layer is fetched whole.

use std::sync::Arc;

use super::images::Images;
use crate::base::{Digest, Event, MIB, in_line};
use crate::blob::{AnyBlob, Descriptor};
use crate::extent::{Bytes, SharedSource};
use crate::layer::{Foreign, InBlob, Layer, Wanted, Ztoc, ZtocOptions, write_ztoc};
use crate::oci::{
    Converted, DescriptorPlatform, Image, LayerZtoc, OCI_INDEX, OCI_MANIFEST, Pusher, Reference, SOCI_CONFIG, SOCI_V1,
    SOCI_V2, SociIndex, named_index, with_named_index, with_soci_indexes, ztocs_of,
};
use crate::rootfs::Cause;

/// Largest zTOC, in bytes: of a layer of some 8 GiB.
const MAX_ZTOC: u64 = 64 * MIB;
/// Media type of a zTOC.
const ZTOC_TYPE: &str = "application/octet-stream";

/// How an index of SOCI's is tied to its image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Soci {
    /// It refers to the image, which stays as it is.
    Beside,
    /// The image refers to it, and so becomes another one, under this tag.
    Named(String),
}

impl Images<'_> {
    /// A layer that is neither here nor indexed, by an index that the image names.
    pub fn foreign(&self, wanted: &Wanted, image: &Image) -> Option<Layer> {
        let opened = self.open_foreign(wanted, image);
        opened.unwrap_or_else(|error| {
            let (digest, reference) = (wanted.digest, &image.reference);
            let warning = format!("the index of layer `{digest}` of `{reference}` is passed over: {}", in_line(&error));
            self.monitor.event(Event::Warning(warning));
            None
        })
    }

    fn open_foreign(&self, wanted: &Wanted, image: &Image) -> Result<Option<Layer>, Cause> {
        let ztoc = self.ztocs().of(image.digest(), &wanted.digest);
        let annotations =
            image.layers.iter().find(|layer| layer.digest == wanted.digest).map(|layer| &layer.annotations);
        let in_blob = annotations.and_then(InBlob::of);
        let index = match (&ztoc, &in_blob) {
            (Some(bytes), _) => Foreign::Ztoc(bytes),
            (None, Some(in_blob)) => Foreign::InBlob(in_blob),
            (None, None) => return Ok(None),
        };
        let fetch = self.resolver.fetcher(&image.reference);
        if fetch.check(&wanted.digest).is_err() || self.layers.has_index(&wanted.digest) {
            return Ok(None);
        }
        match self.store.reach_for(&wanted.digest, wanted.size, &fetch).map_err(Cause::new)? {
            AnyBlob::Here(_) => Ok(None),
            AnyBlob::There(blob) => self.layers.open_foreign(wanted, &index, blob).map(Some).map_err(Cause::new),
        }
    }

    /// Fetches SOCI's indexes of the layers of an image that have none here: those that the image names, or that are
    /// trusted.
    pub(super) fn take_ztocs(&self, image: &Image) -> Result<(), Cause> {
        let Some((repository, index)) = self.soci_index(image)? else { return Ok(()) };
        let layers = image.layer_digests();
        for LayerZtoc { layer, ztoc, size } in ztocs_of(&index, image.digest(), &layers).map_err(Cause::new)? {
            if self.layers.has_index(&layer) {
                continue;
            }
            if !self.ztocs().bytes.contains_key(&ztoc) {
                let descriptor = Descriptor::new(ZTOC_TYPE, ztoc, size);
                let bytes = self.resolver.small(&repository, &descriptor, MAX_ZTOC).map_err(Cause::new)?;
                self.ztocs().bytes.insert(ztoc, bytes.into());
            }
            self.ztocs().named.insert((*image.digest(), layer), ztoc);
        }
        Ok(())
    }

    fn soci_index(&self, image: &Image) -> Result<Option<(Reference, Vec<u8>)>, Cause> {
        let bytes = |repository: &Reference, digest: Digest| {
            let bytes = self.resolver.artifact(repository, &Descriptor::new(OCI_MANIFEST, digest, 0));
            bytes.map(|bytes| Some((repository.clone(), bytes))).map_err(Cause::new)
        };
        if let Some(named) = named_index(&image.manifest_bytes).map_err(Cause::new)? {
            return bytes(&image.reference, named);
        }
        for place in self.trusted_indexes {
            let repository = place.of(&image.reference);
            let listed =
                self.resolver.referrers(repository, image.digest(), SOCI_V1, self.monitor).map_err(Cause::new)?;
            if let Some(first) = listed.first() {
                return bytes(repository, first.digest);
            }
        }
        Ok(None)
    }

    /// Makes SOCI's index of an image and pushes it; its digest, or that of the image that names it now, and its bytes.
    pub(super) fn push_soci(&self, image: &Image, to: &Reference, soci: &Soci) -> Result<(Digest, u64), Cause> {
        let pusher = self.resolver.pusher(to, Some(&image.reference)).map_err(Cause::new)?;
        let ztocs = self.push_ztocs(image, &pusher)?;
        let config: SharedSource = Arc::new(Bytes(SOCI_CONFIG.into()));
        let type_of_config = if *soci == Soci::Beside { SOCI_V1 } else { SOCI_V2 };
        let described = Descriptor::new(type_of_config, Digest::of(SOCI_CONFIG), SOCI_CONFIG.len() as u64);
        pusher.blob(&described, config, self.monitor).map_err(Cause::new)?;
        let options = ZtocOptions::default();
        let subject = (*soci == Soci::Beside).then_some(&image.manifest);
        let index = SociIndex { subject, ztocs: &ztocs, span_size: options.span_size, tool: options.tool }.to_bytes();
        let digest = pusher.manifest(&index, OCI_MANIFEST, None).map_err(Cause::new)?;
        let bytes = ztocs.iter().map(|(ztoc, _)| ztoc.size).sum();
        match soci {
            Soci::Beside => Ok((digest, bytes)),
            Soci::Named(tag) => {
                self.push_named(image, &pusher, (digest, index.len() as u64), tag).map(|root| (root, bytes))
            }
        }
    }

    /// Pushes the zTOCs of the layers that can have one.
    fn push_ztocs(&self, image: &Image, pusher: &Pusher) -> Result<Vec<(LayerZtoc, String)>, Cause> {
        let fetch = self.resolver.fetcher(&image.reference);
        let mut pushed = Vec::new();
        for layer in image.layers.iter() {
            let wanted = Descriptor::new(&*layer.media_type, layer.digest, layer.size);
            let blob = self.store.obtain(&wanted, &*fetch).map_err(Cause::new)?;
            let made = write_ztoc(&mut blob.reader(), &layer.digest, layer.size, &ZtocOptions::default());
            match made.map_err(Cause::new)? {
                Ztoc::None(reason) => {
                    let warning = format!("layer `{}` of `{}` gets no zTOC: {reason}", layer.digest, image.reference);
                    self.monitor.event(Event::Warning(warning));
                }
                Ztoc::Made(bytes) => {
                    let (ztoc, size) = (Digest::of(&bytes), bytes.len() as u64);
                    let content: SharedSource = Arc::new(Bytes(bytes.into()));
                    let descriptor = Descriptor::new(ZTOC_TYPE, ztoc, size);
                    pusher.blob(&descriptor, content, self.monitor).map_err(Cause::new)?;
                    pushed.push((LayerZtoc { layer: layer.digest, ztoc, size }, layer.media_type.clone()));
                }
            }
        }
        Ok(pushed)
    }

    /// Pushes the image as it names its index; the digest of what the tag means then.
    fn push_named(&self, image: &Image, pusher: &Pusher, index: (Digest, u64), tag: &str) -> Result<Digest, Cause> {
        for layer in image.layers.iter() {
            let descriptor = Descriptor::new(&*layer.media_type, layer.digest, layer.size);
            let fetch = self.resolver.fetcher(&image.reference);
            let blob = self.store.obtain(&descriptor, &*fetch).map_err(Cause::new)?;
            pusher.blob(&descriptor, Arc::new(blob), self.monitor).map_err(Cause::new)?;
        }
        let config = Descriptor::new("", image.config_digest, image.config_bytes.len() as u64);
        let bytes: SharedSource = Arc::new(Bytes(image.config_bytes.as_ref().into()));
        pusher.blob(&config, bytes, self.monitor).map_err(Cause::new)?;
        let manifest = with_named_index(&image.manifest_bytes, &index.0).map_err(Cause::new)?;
        let now = pusher.manifest(&manifest, OCI_MANIFEST, None).map_err(Cause::new)?;
        let platform = &image.config.platform;
        let converted = Converted {
            original: *image.digest(),
            manifest: (now, manifest.len() as u64),
            index,
            platform: DescriptorPlatform {
                architecture: platform.architecture.clone(),
                os: platform.os.clone(),
                variant: platform.variant.clone(),
            },
        };
        // Of an image index only this platform is known to be in the repository.
        let root = with_soci_indexes(None, &[converted]).map_err(Cause::new)?;
        pusher.manifest(&root, OCI_INDEX, Some(tag)).map_err(Cause::new)
    }
}
