//! How many threads work is worth.

/// Bytes of indexed blobs, and entries of layers, that take longer than it takes to start a thread: about a millisecond.
pub(super) const BLOBS: u64 = 64 << 20;
pub(super) const ENTRIES: u64 = 8 << 10;

/// Threads for pieces of work of these sizes: this one, and another for each `worth` of what there is beside the largest;
/// `most` at most.
pub(super) fn threads_for(sizes: impl Iterator<Item = u64>, worth: u64, most: usize) -> usize {
    let add = |(beside, largest): (u64, u64), size: u64| (beside.saturating_add(size.min(largest)), size.max(largest));
    let (beside, _) = sizes.fold((0, 0), add);
    usize::try_from(beside / worth).unwrap_or(most).saturating_add(1).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_threads_help_where_much_is_left_beside_the_largest_piece_of_work() {
        let rows: [(&[u64], usize); 6] =
            [(&[], 1), (&[500], 1), (&[1, 500, 8], 1), (&[10, 10], 2), (&[500, 10, 9, 1], 3), (&[u64::MAX; 3], 3)];
        for (sizes, threads) in rows {
            assert_eq!(threads_for(sizes.iter().copied(), 10, 3), threads, "{sizes:?}");
        }
    }
}
