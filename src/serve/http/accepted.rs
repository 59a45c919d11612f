//! What a client says it likes best: lists of names with weights.
//!
//! # Format
//! RFC 9110: section 12.4.2 (weights), 12.5.1 (Accept), 12.5.3 (Accept-Encoding).

/// The weight of something that has no weight of its own, and the largest one there is: one, in thousandths.
const ONE: u16 = 1000;

/// How something is encoded on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Zstd,
    Gzip,
}

impl Encoding {
    /// Its name in headers.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// The encoding that the value of an `Accept-Encoding` header likes best; `None` for the bytes as they are.
    pub(super) fn preferred(value: &str) -> Option<Self> {
        let weight = |name: &str| weight(value, name).or_else(|| self::weight(value, "*"));
        let plain = self::weight(value, "identity").unwrap_or(0);
        let zstd = weight("zstd").unwrap_or(0);
        let gzip = weight("gzip").or_else(|| self::weight(value, "x-gzip")).unwrap_or(0);
        let (best, encoding) = if zstd >= gzip { (zstd, Self::Zstd) } else { (gzip, Self::Gzip) };
        (best > 0 && best >= plain).then_some(encoding)
    }
}

/// Whether the value of an `Accept` header likes JSON better than a page.
pub(super) fn prefers_json(value: &str) -> bool {
    let weight = |name| weight(value, name).unwrap_or(0);
    weight("application/json") > weight("text/html")
}

/// The weight of `name` in a list, in thousandths; `None` where the list does not have it, or has no weight that can be
/// read.
fn weight(list: &str, name: &str) -> Option<u16> {
    list.split(',').find_map(|item| {
        let mut parts = item.split(';').map(str::trim);
        let is_it = parts.next()?.eq_ignore_ascii_case(name);
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        is_it.then(|| weight.map_or(Some(ONE), thousandths))?
    })
}

fn thousandths(text: &str) -> Option<u16> {
    let (whole, digits) = text.split_once('.').unwrap_or((text, ""));
    if !matches!(whole, "0" | "1") || digits.len() > 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let parsed: u16 = format!("{whole}{digits:0<3}").parse().ok()?;
    (parsed <= ONE).then_some(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_liked_encoding_is_taken() {
        let rows = [
            ("gzip", Some(Encoding::Gzip)),
            ("x-gzip", Some(Encoding::Gzip)),
            ("gzip, zstd", Some(Encoding::Zstd)),
            ("gzip, deflate, br, zstd", Some(Encoding::Zstd)),
            ("zstd;q=0.5, gzip;q=0.8", Some(Encoding::Gzip)),
            ("zstd ; q=0.501,gzip; q=0.5", Some(Encoding::Zstd)),
            ("*", Some(Encoding::Zstd)),
            ("*;q=0.1, zstd;q=0", Some(Encoding::Gzip)),
            ("GZIP;Q=1.000", Some(Encoding::Gzip)),
            ("identity, gzip;q=0.5", None),
            ("identity;q=0.5, gzip", Some(Encoding::Gzip)),
            ("identity;q=0, *;q=0", None),
            ("gzip;q=0", None),
            ("gzip;q=0.000", None),
            ("br, deflate", None),
            ("", None),
        ];
        for (value, encoding) in rows {
            assert_eq!(Encoding::preferred(value), encoding, "{value}");
        }
    }

    #[test]
    fn a_weight_that_is_none_takes_its_name_off_the_list() {
        for value in ["gzip;q=", "gzip;q=2", "gzip;q=1.001", "gzip;q=-1", "gzip;q=0.1234", "gzip;q=.5", "gzip;q=+1"] {
            assert_eq!(Encoding::preferred(value), None, "{value}");
        }
    }

    #[test]
    fn json_is_for_those_who_like_it_better_than_a_page() {
        let rows = [
            ("application/json", true),
            ("application/json, text/html;q=0.9", true),
            ("text/html, application/json", false),
            ("text/html,application/xhtml+xml,*/*;q=0.8", false),
            ("*/*", false),
            ("", false),
            ("application/json;q=0", false),
        ];
        for (value, json) in rows {
            assert_eq!(prefers_json(value), json, "{value}");
        }
    }
}
