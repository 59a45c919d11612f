//! One image that is loaded again when its tag moves.

use std::time::Duration;

use super::load::image_of;
use super::stock::Stock;
use super::tags::Tags;
use super::{Error, Origins, Problem};
use crate::base::{Digest, Monitor};
use crate::oci::{Image, Reference};
use crate::tree::Tree;

/// An image whose tag is asked for at an interval.
pub struct ImageWatch {
    reference: Reference,
    origins: Origins,
    stock: Stock,
    tags: Tags,
    /// The digest of the image that was loaded last.
    loaded: Digest,
    has_failed: bool,
}

impl ImageWatch {
    /// Loads an image, whose tag is asked for at an interval from then on.
    ///
    /// # Errors
    /// When it stays what it is, cannot be found, or a layer cannot be had or is corrupt.
    pub fn start(
        reference: Reference,
        origins: Origins,
        interval: Duration,
        monitor: &dyn Monitor,
    ) -> Result<(Self, (Image, Tree)), Error> {
        let never = || Problem::NeverMoves(reference.to_string());
        if reference.digest().is_some() {
            return Err(never().into());
        }
        let stock = Stock::new(&origins, monitor)?;
        let (image, tree) = image_of(&stock, &reference, &origins, monitor)?;
        // A registry that does not answer now may do so later.
        if matches!(stock.resolver.latest(&reference, monitor), Ok(None)) {
            return Err(never().into());
        }
        let (tags, loaded) = (Tags::new(Some(interval)), *image.digest());
        Ok((Self { reference, origins, stock, tags, loaded, has_failed: false }, (image, tree)))
    }

    /// Waits until the tag means another image; nothing when it means again the one that was loaded last.
    ///
    /// # Errors
    /// What is wrong with the image that it means now. It is tried again after the interval.
    pub fn next(&mut self, monitor: &dyn Monitor) -> Result<Option<(Image, Tree)>, Error> {
        loop {
            self.tags.wait();
            if self.tags.have_moved(&self.stock, &self.origins, monitor) || self.has_failed {
                break;
            }
        }
        let loaded = image_of(&self.stock, &self.reference, &self.origins, monitor);
        self.has_failed = loaded.is_err();
        let (image, tree) = loaded?;
        if *image.digest() == self.loaded {
            return Ok(None);
        }
        self.loaded = *image.digest();
        Ok(Some((image, tree)))
    }
}
