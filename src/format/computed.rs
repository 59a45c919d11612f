//! Bytes that stand in front of what they are computed from, such as a checksum: made when they are first read.

use std::ops::Range;

use crate::base::Attempt;
use crate::extent::{Bytes, Origin, ReadError, Source, Traced, Visit, trace_as};

type Make = Box<dyn Fn() -> Result<Vec<u8>, ReadError> + Send + Sync>;

/// Bytes that are computed at most once, unless what they need cannot be read.
pub(super) struct Computed {
    size: u64,
    make: Make,
    made: Attempt<Vec<u8>, ReadError>,
}

impl Computed {
    /// `size` bytes, which is as many as `make` makes.
    pub fn new(size: u64, make: impl Fn() -> Result<Vec<u8>, ReadError> + Send + Sync + 'static) -> Self {
        Self { size, make: Box::new(make), made: Attempt::default() }
    }
}

impl Source for Computed {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        let made = self.made.get_or_make(&self.make, |_| false)?;
        Bytes(made.as_slice().into()).read_at(buf, offset)
    }

    fn trace(&self, range: Range<u64>, visit: &mut Visit<'_>) -> Traced {
        trace_as(Origin::Checksum, &range, visit)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::base::ErrorKind;

    #[test]
    fn bytes_are_computed_once_and_again_only_after_a_failure() {
        let count = Arc::new(AtomicU32::new(0));
        let counted = count.clone();
        let computed = Computed::new(4, move || match counted.fetch_add(1, Ordering::Relaxed) {
            0 => Err(ReadError::new(ErrorKind::Unreachable, "no route")),
            _ => Ok(b"made".to_vec()),
        });
        let mut part = [0; 2];
        assert!(computed.read_at(&mut part, 1).is_err());
        for offset in [1, 2] {
            computed.read_at(&mut part, offset).unwrap();
        }
        assert_eq!((part, count.load(Ordering::Relaxed)), (*b"de", 2));
        assert!(computed.read_at(&mut part, 3).is_err());
    }
}
