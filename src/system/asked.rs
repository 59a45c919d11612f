//! Images that a command is about: named one by one, or by specs.

use super::load::{parse, read_lock};
use super::names::Names;
use super::{Error, Input, Origins};
use crate::base::{Monitor, Platform};
use crate::oci::Reference;

/// An image, and for what it is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its name.
    pub reference: Reference,
    /// Platforms it is wanted for; all when there are none.
    pub platforms: Vec<Platform>,
}

impl Asked {
    /// The images that specs name, for these platforms, or for those that a volume holds its image for. Where several
    /// specs are given they merge in order.
    ///
    /// # Errors
    /// When a spec cannot be read or is not valid, or a lock that is asked for does not record a name.
    pub fn of_specs(
        inputs: &[Input],
        platforms: &[Platform],
        origins: &Origins,
        monitor: &dyn Monitor,
    ) -> Result<Vec<Self>, Error> {
        let parsed = parse(inputs, monitor)?;
        let lock = if origins.locked { Some(read_lock(inputs)?) } else { None };
        let names = Names::new(&parsed, origins, lock.as_ref())?;
        let laid_out =
            names.laid_out.iter().map(|name| Self { reference: name.asked(), platforms: platforms.to_vec() });
        let stored = names.stored.iter().map(|name| {
            let volumes = parsed.spec.volumes.iter();
            let mut of_image =
                volumes.filter(|volume| volume.image.as_ref().is_some_and(|image| image.value == name.written.value));
            let platforms = of_image.next().map(|volume| volume.platforms.clone()).unwrap_or_default();
            Self { reference: name.asked(), platforms }
        });
        Ok(laid_out.chain(stored).collect())
    }
}
