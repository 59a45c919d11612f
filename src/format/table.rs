//! A table of equal entries that is computed when it is read, so that a large disk's tables take no memory.

use std::sync::Arc;

use crate::base::in_memory;
use crate::extent::{ReadError, SharedSource, Source};

/// `entries` entries of `N` bytes, each a function of its number.
pub(super) struct Table<const N: usize, F> {
    entries: u64,
    entry: F,
}

/// A table as a source.
pub(super) fn table<const N: usize, F>(entries: u64, entry: F) -> SharedSource
where
    F: Fn(u64) -> [u8; N] + Send + Sync + 'static,
{
    Arc::new(Table { entries, entry })
}

impl<const N: usize, F: Fn(u64) -> [u8; N] + Send + Sync + 'static> Source for Table<N, F> {
    fn size(&self) -> u64 {
        self.entries * N as u64
    }

    fn read_at(&self, mut buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        let end = offset.checked_add(buf.len() as u64).filter(|end| *end <= self.size());
        end.ok_or_else(|| ReadError::out_of_range(offset, buf.len() as u64, self.size()))?;
        let mut index = offset / N as u64;
        let mut skip = in_memory(offset % N as u64);
        while !buf.is_empty() {
            let entry = (self.entry)(index);
            let len = buf.len().min(N - skip);
            let (head, rest) = buf.split_at_mut(len);
            head.copy_from_slice(&entry[skip..skip + len]);
            (buf, skip, index) = (rest, 0, index + 1);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prop_any_split_of_a_read_equals_the_whole() {
        let numbers = table(9, |index| u32::try_from(index).unwrap().to_be_bytes());
        let mut whole = [0; 36];
        numbers.read_at(&mut whole, 0).unwrap();
        assert_eq!(whole[32..], [0, 0, 0, 8]);
        for start in 0..36 {
            for end in start..=36 {
                let mut part = vec![0xff; end - start];
                numbers.read_at(&mut part, start as u64).unwrap();
                assert_eq!(part, whole[start..end]);
            }
        }
        assert!(numbers.read_at(&mut [0; 2], 35).is_err());
    }
}
