//! Memory that is used again for the next bytes of about as many: what the system gives anew it clears first.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

/// Memory of bytes that nobody has any more. A copy is the same memory.
#[derive(Clone, Default)]
pub struct Spare(Arc<Kept>);

#[derive(Default)]
struct Kept {
    /// How many are kept.
    most: usize,
    bytes: Mutex<Vec<Vec<u8>>>,
}

/// Bytes whose memory is spare when this is dropped.
pub struct Lent {
    bytes: Vec<u8>,
    spare: Spare,
}

impl Spare {
    /// Keeps the memory of as many at most; by default of none.
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Kept { most, bytes: Mutex::default() }))
    }

    /// `len` bytes to be written over, with anything in them.
    pub fn lend(&self, len: usize) -> Lent {
        let mut bytes = self.0.bytes.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        bytes.resize(len, 0);
        Lent { bytes, spare: self.clone() }
    }
}

impl From<Vec<u8>> for Lent {
    /// Bytes whose memory is given back to the system.
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, spare: Spare::default() }
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Deref for Lent {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut kept = self.spare.0.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < self.spare.0.most {
            kept.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_nobody_has_any_more_is_lent_again() {
        let spare = Spare::new(1);
        let (first, second) = (spare.lend(4096), spare.clone().lend(4096));
        let address = first.as_ptr();
        assert_ne!(second.as_ptr(), address);
        drop((first, second));
        assert_eq!(spare.0.bytes.lock().unwrap().len(), 1, "no more is kept than was said");
        let next = spare.lend(100);
        assert_eq!((next.as_ptr(), next.len()), (address, 100));
    }

    #[test]
    fn nothing_is_kept_of_bytes_that_were_not_lent() {
        let none = Spare::default();
        drop((none.lend(10), Lent::from(vec![1, 2])));
        assert!(none.0.bytes.lock().unwrap().is_empty());
    }
}
