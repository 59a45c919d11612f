//! The fields of a tar header block, and the numbers of extended headers.
//!
//! # Format
//! POSIX.1-2024 `pax`, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format" (base-256 numbers).

use tar::Header;

/// Longest path or link target taken, in bytes: Linux' `PATH_MAX` without its NUL. No unpacker could make a longer one.
const PATH_MAX: usize = 4095;

/// Whether the checksum field matches; some old tars sum signed characters.
pub(crate) fn checksum_matches(block: &[u8; 512]) -> bool {
    let Ok(stored) = number(&block[148..156]) else { return false };
    let field = 148..156;
    let bytes = || block.iter().enumerate().map(|(at, byte)| if field.contains(&at) { b' ' } else { *byte });
    let unsigned: i64 = bytes().map(i64::from).sum();
    let signed = || bytes().map(|byte| i64::from(byte.cast_signed())).sum::<i64>();
    stored == unsigned || stored == signed()
}

/// A numeric field: octal digits between blanks, or base-256 when the first bit is set. Empty is zero.
///
/// # Errors
/// When it is neither, or does not fit.
pub(crate) fn number(field: &[u8]) -> Result<i64, String> {
    match field {
        [first, rest @ ..] if *first & 0x80 != 0 => base_256(*first, rest),
        _ => octal(field),
    }
    .ok_or_else(|| format!("`{}` is not a number", field.escape_ascii()))
}

fn octal(field: &[u8]) -> Option<i64> {
    let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
    field[..end].trim_ascii().iter().try_fold(0_i64, |sum, digit| match digit {
        b'0'..=b'7' => sum.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

/// Two's complement, big-endian, without the first bit.
fn base_256(first: u8, rest: &[u8]) -> Option<i64> {
    let top = i64::from((first << 1).cast_signed() >> 1);
    rest.iter().try_fold(top, |sum, byte| sum.checked_mul(256)?.checked_add(i64::from(*byte)))
}

/// A numeric field that cannot be negative.
///
/// # Errors
/// When it is, or is no number.
pub(crate) fn unsigned(field: &[u8]) -> Result<u64, String> {
    u64::try_from(number(field)?).map_err(|_| format!("`{}` is negative", field.escape_ascii()))
}

/// A numeric field of at most 32 bits: an owner or device number.
///
/// # Errors
/// When it is no such number.
pub(crate) fn word(field: &[u8]) -> Result<u32, String> {
    let value = unsigned(field)?;
    u32::try_from(value).map_err(|_| format!("{value} does not fit in 32 bits"))
}

/// A decimal number.
///
/// # Errors
/// When it is none, or exceeds 64 bits.
pub(crate) fn decimal(text: &[u8]) -> Result<u64, String> {
    let value = text.iter().try_fold(0_u64, |sum, digit| match digit {
        b'0'..=b'9' => sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    });
    value.filter(|_| !text.is_empty()).ok_or_else(|| format!("`{}` is not a number", shortened(text)))
}

/// A value for a message.
pub(crate) fn shortened(text: &[u8]) -> String {
    text[..text.len().min(40)].escape_ascii().to_string()
}

/// The name, with the prefix that ustar headers have.
pub(crate) fn name(block: &[u8; 512]) -> Vec<u8> {
    Header::from_byte_slice(block).path_bytes().into_owned()
}

/// The link target.
pub(crate) fn link_name(block: &[u8; 512]) -> Vec<u8> {
    let field = &Header::from_byte_slice(block).as_old().linkname;
    until_nul(field).to_vec()
}

/// The bytes before the first NUL.
pub(crate) fn until_nul(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len())]
}

/// Refuses names that no file can have.
///
/// # Errors
/// When it is empty, too long or has a NUL.
pub(crate) fn check_name(name: &[u8], what: &str) -> Result<(), String> {
    match name {
        [] => Err(format!("the entry has no {what}")),
        _ if name.contains(&0) => Err(format!("the {what} has a NUL in it")),
        _ => check_length(name, what),
    }
}

/// Refuses names that are longer than any file can have.
///
/// # Errors
/// When it is too long.
pub(crate) fn check_length(name: &[u8], what: &str) -> Result<(), String> {
    if name.len() > PATH_MAX {
        return Err(format!("the {what} has {} bytes, over {PATH_MAX}", name.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        let table: [(&[u8], Result<i64, ()>); 12] = [
            (b"0000644\0", Ok(0o644)),
            (b" 644 \0xx", Ok(0o644)),
            (b"77777777777\0", Ok(0o77_777_777_777)),
            (b"\0\0\0\0", Ok(0)),
            (b"    ", Ok(0)),
            (b"0000648\0", Err(())),
            (b"-1\0", Err(())),
            (b"\x80\0\0\0\0\0\0\0\0\0\x01\0", Ok(256)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", Ok(-1)),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", Err(())),
            (b"\xff\xff\xff\xff\x80\0\0\0\0\0\0\0", Ok(i64::MIN)),
            (b"\x80\x01\0\0\0\0\0\0\0\0\0\0", Err(())),
        ];
        for (field, value) in table {
            assert_eq!(number(field).map_err(|_| ()), value, "{}", field.escape_ascii());
        }
        assert!(unsigned(&[0xff; 8]).is_err());
        assert_eq!(word(b"37777777777\0"), Ok(u32::MAX));
        assert!(word(b"40000000000\0").is_err());
    }

    #[test]
    fn either_checksum_will_do() {
        let mut header = Header::new_ustar();
        header.as_mut_bytes()[0] = 0xe9;
        header.set_cksum();
        let mut block = *header.as_bytes();
        assert!(checksum_matches(&block));
        let signed = header.cksum().unwrap() - 256;
        block[148..156].copy_from_slice(format!("{signed:06o}\0 ").as_bytes());
        assert!(checksum_matches(&block));
        block[1] = 1;
        assert!(!checksum_matches(&block));
    }
}
