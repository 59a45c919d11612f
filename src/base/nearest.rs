//! The known name that a misspelt one most likely stands for.

/// Longest text that is compared, in characters: comparing takes time in proportion to its square.
const LONGEST: usize = 64;

/// The name most like `text`, when one is like it.
pub fn nearest<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = text.to_lowercase();
    let length = lower.chars().count();
    if length > LONGEST {
        return None;
    }
    let distance = |name: &str| strsim::damerau_levenshtein(&lower, &name.to_lowercase());
    let (distance, name) = names.map(|name| (distance(name), name)).min_by_key(|(distance, _)| *distance)?;
    (distance <= (length / 3).max(1) && distance < length).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_proposed_only_when_it_is_like_the_text() {
        let names = ["iso-bios", "iso-efi", "tar"];
        let rows = [("iso-bois", Some("iso-bios")), ("TAR", Some("tar")), ("xyz", None), ("a", None), ("", None)];
        for (text, name) in rows {
            assert_eq!(nearest(text, names.into_iter()), name, "{text}");
        }
        assert_eq!(nearest(&"a".repeat(100), names.into_iter()), None);
    }
}
