//! Names in the two views of an ISO: capitals for ECMA-119, UTF-16 for Joliet. Both are cut, and told apart by numbers.
//!
//! # Format
//! ECMA-119 section 7.5 (file identifiers, interchange level 2: 31 characters), 9.3 (order); Joliet specification,
//! "Joliet ViewName Length" stretched from 64 to 103 characters as other writers and all readers do.

/// One of the two directory trees over the same content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// The primary one, which Rock Ridge extends.
    Primary,
    /// Joliet.
    Joliet,
}

/// Most characters of a primary name, the version number not counted.
const PRIMARY_LEN: usize = 31;
/// Characters of a primary name's extension, of those that have long ones.
const EXTENSION_LEN: usize = 20;
/// Most UTF-16 units of a Joliet name.
const JOLIET_LEN: usize = 103;

/// The name of an entry in a view; `number` tells it from names that would come out the same.
pub(super) fn name(view: View, raw: &[u8], is_directory: bool, number: Option<u32>) -> Vec<u8> {
    match view {
        View::Primary => primary(raw, is_directory, number),
        View::Joliet => joliet(raw, number),
    }
}

/// What names are sorted by: the version number would stand in the way of the extension.
pub(super) fn sort_key(mut name: Vec<u8>, view: View) -> Vec<u8> {
    if view == View::Primary && name.ends_with(b";1") {
        name.truncate(name.len() - 2);
    }
    name
}

fn primary(raw: &[u8], is_directory: bool, number: Option<u32>) -> Vec<u8> {
    let tail = number.map_or_else(String::new, |number| format!("{number:03}"));
    let cleaned = |text: &[u8], len: usize| -> Vec<u8> {
        let allowed = |b: u8| if b.is_ascii_uppercase() || b.is_ascii_digit() { b } else { b'_' };
        text.iter().map(|b| allowed(b.to_ascii_uppercase())).take(len).collect()
    };
    if is_directory {
        return [cleaned(raw, PRIMARY_LEN - tail.len()), tail.into_bytes()].concat();
    }
    let dot = raw.iter().rposition(|b| *b == b'.').filter(|at| *at > 0);
    let (stem, extension) = dot.map_or((raw, &raw[..0]), |at| (&raw[..at], &raw[at + 1..]));
    let extension = cleaned(extension, EXTENSION_LEN);
    let stem = cleaned(stem, PRIMARY_LEN - 1 - extension.len() - tail.len());
    [&stem, tail.as_bytes(), b".", &extension, b";1"].concat()
}

fn joliet(raw: &[u8], number: Option<u32>) -> Vec<u8> {
    let tail = number.map_or_else(String::new, |number| format!("~{number}"));
    let most = 2 * (JOLIET_LEN - tail.len());
    let mut name = Vec::with_capacity(2 * (raw.len() + tail.len()).min(JOLIET_LEN));
    for c in String::from_utf8_lossy(raw).chars() {
        let forbidden = c.is_control() || matches!(c, '*' | '/' | ':' | ';' | '?' | '\\');
        let c = if forbidden { '_' } else { c };
        if name.len() + 2 * c.len_utf16() > most {
            break;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            name.extend_from_slice(&unit.to_be_bytes());
        }
    }
    tail.encode_utf16().for_each(|unit| name.extend_from_slice(&unit.to_be_bytes()));
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(view: View, raw: &str, is_directory: bool, number: Option<u32>) -> String {
        let name = name(view, raw.as_bytes(), is_directory, number);
        match view {
            View::Primary => String::from_utf8(name).unwrap(),
            View::Joliet => {
                let units: Vec<u16> = name.chunks(2).map(|b| u16::from_be_bytes([b[0], b[1]])).collect();
                String::from_utf16(&units).unwrap()
            }
        }
    }

    #[test]
    fn primary_names_are_capitals_of_at_most_31_characters() {
        let rows = [
            ("kernel", false, None, "KERNEL.;1"),
            ("initrd.img", false, None, "INITRD.IMG;1"),
            ("a.b-c.tar.gz", false, None, "A_B_C_TAR.GZ;1"),
            (".hidden", false, None, "_HIDDEN.;1"),
            ("dir.d", true, None, "DIR_D"),
            ("dir", true, Some(7), "DIR007"),
            ("a-name-that-is-far-too-long-to-fit.conf", false, None, "A_NAME_THAT_IS_FAR_TOO_LON.CONF;1"),
            ("a-name-that-is-far-too-long-to-fit.conf", false, Some(12), "A_NAME_THAT_IS_FAR_TOO_012.CONF;1"),
            ("x.an-extension-of-30-characters", false, None, "X.AN_EXTENSION_OF_30_C;1"),
        ];
        for (raw, is_directory, number, expected) in rows {
            assert_eq!(text(View::Primary, raw, is_directory, number), expected);
        }
    }

    #[test]
    fn joliet_names_keep_their_letters_and_are_cut_between_characters() {
        assert_eq!(text(View::Joliet, "größe: ?", false, None), "größe_ _");
        assert_eq!(text(View::Joliet, &"x".repeat(200), false, Some(12)), "x".repeat(100) + "~12");
        let cut = text(View::Joliet, &("x".to_owned() + &"𝕏".repeat(60)), false, None);
        assert_eq!(cut.encode_utf16().count(), 103);
    }

    #[test]
    fn a_shorter_extension_sorts_first() {
        let key = |raw: &[u8]| sort_key(name(View::Primary, raw, false, None), View::Primary);
        assert!(key(b"a") < key(b"a.1") && key(b"a.1") < key(b"a1"));
    }
}
