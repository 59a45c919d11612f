//! Fuzz target for what headers say.

use super::accepted::{Encoding, prefers_json};
use super::range::Wanted;

/// Headers of a request.
pub fn http(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for size in [0, 1, 1 << 20, u64::MAX] {
        if let Wanted::Part(range) = Wanted::parse(&text, size) {
            assert!(range.start < range.end && range.end <= size);
        }
    }
    if Encoding::preferred(&text).is_some() {
        assert!(text.contains(['*', 'z', 'Z']));
    }
    assert!(!prefers_json(&text) || text.contains('/'));
}
