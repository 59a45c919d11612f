//! The address of a network card.

use std::fmt;
use std::str::FromStr;

use super::Error;

/// The address of one card: no group address, and not empty (IEEE 802, "Universal addresses").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mac([u8; 6]);

impl Mac {
    /// An address that no manufacturer gives, from six bytes of any value.
    pub const fn local(bytes: [u8; 6]) -> Self {
        let [first, rest @ ..] = bytes;
        let [b, c, d, e, f] = rest;
        Self([first & 0xfc | 2, b, c, d, e, f])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, rest @ ..] = self.0;
        write!(f, "{first:02x}")?;
        rest.iter().try_for_each(|byte| write!(f, ":{byte:02x}"))
    }
}

impl FromStr for Mac {
    type Err = Error;

    /// Takes six bytes in hexadecimal with colons between them.
    fn from_str(text: &str) -> Result<Self, Error> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        let complete = bytes.iter_mut().all(|byte| match parts.next().and_then(byte_of) {
            Some(value) => {
                *byte = value;
                true
            }
            None => false,
        });
        let is_one_card = bytes[0] & 1 == 0 && bytes != [0; 6];
        let valid = complete && parts.next().is_none() && is_one_card;
        if valid { Ok(Self(bytes)) } else { Err(Error::NotAMac(text.to_owned())) }
    }
}

fn byte_of(text: &str) -> Option<u8> {
    let is_hex = text.len() == 2 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    u8::from_str_radix(text, 16).ok().filter(|_| is_hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_six_bytes_of_one_card() {
        for text in ["02:00:00:00:00:01", "fe:ff:ff:ff:ff:ff"] {
            assert_eq!(text.parse::<Mac>().unwrap().to_string(), text);
        }
        assert_eq!("0A:bC:00:00:00:01".parse::<Mac>().unwrap().to_string(), "0a:bc:00:00:00:01");
        assert_eq!(Mac::local([0xff; 6]).to_string(), "fe:ff:ff:ff:ff:ff");
        let bad = ["", "02:00:00:00:00", "02:00:00:00:00:01:02", "02:00:00:00:00:1", "02:00:00:00:00:+1"];
        let group = ["01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"];
        for text in bad.into_iter().chain(group).chain(["02:00:00:00:00:01,romfile=/etc/x", "02-00-00-00-00-01"]) {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
    }
}
