//! Sizes: binary units, alignment, and sizes as people type them.

/// 1024 bytes.
pub const KIB: u64 = 1 << 10;
/// 1024 KiB.
pub const MIB: u64 = 1 << 20;
/// 1024 MiB.
pub const GIB: u64 = 1 << 30;
/// The unit of disks and partition tables, in bytes.
pub const SECTOR: u64 = 512;

/// The next multiple of `unit` at or above `value`; `unit` is a power of two.
pub const fn align_up(value: u64, unit: u64) -> u64 {
    debug_assert!(unit.is_power_of_two());
    (value + (unit - 1)) & !(unit - 1)
}

/// The size of something that is in memory, or a place within it.
pub fn in_memory(number: u64) -> usize {
    usize::try_from(number).expect("memory has fewer bytes than a `usize` counts")
}

/// Bytes from text such as `1024`, `512M`, `2GiB`; without a unit the number counts `unit` bytes.
pub fn parse_size(text: &str, unit: u64) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, suffix) = text.split_at(digits);
    let scale = match suffix.to_ascii_lowercase().trim_end_matches("ib").trim_end_matches('b') {
        "" if suffix.is_empty() => unit,
        "" => 1,
        "k" => KIB,
        "m" => MIB,
        "g" => GIB,
        "t" => GIB * 1024,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(scale)
}

/// A size for people: in the largest unit that there is one of, with one digit behind the point.
pub fn shown_size(bytes: u64) -> String {
    let units = [("TiB", 1024 * GIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)];
    match units.into_iter().find(|(_, unit)| bytes >= *unit) {
        None => format!("{bytes} B"),
        Some((name, unit)) => format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_unit() {
        let rows =
            [("1024", Some(GIB)), ("1G", Some(GIB)), ("2gib", Some(2 * GIB)), ("512B", Some(512)), ("3kb", Some(3072))];
        for (text, bytes) in rows {
            assert_eq!(parse_size(text, MIB), bytes, "{text}");
        }
        for text in ["", "M", "1X", "-1", "99999999999999999999"] {
            assert_eq!(parse_size(text, MIB), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_in_their_largest_unit() {
        let rows = [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (MIB - 1, "1023.9 KiB"), (5 * GIB, "5.0 GiB")];
        for (bytes, text) in rows {
            assert_eq!(shown_size(bytes), text);
        }
        assert_eq!(shown_size(u64::MAX), "16777215.9 TiB");
    }
}
