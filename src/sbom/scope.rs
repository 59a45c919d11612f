//! Parts of a system, and identifiers and paths of one, told apart from those of all others.

use serde_json::{Map, Value};

/// The identifier of every document in itself.
const DOCUMENT: &str = "SPDXRef-DOCUMENT";
/// Keys whose text is an identifier, or a list of them.
const IDENTIFIERS: [&str; 7] =
    ["SPDXID", "spdxElementId", "relatedSpdxElement", "hasFiles", "snippetFromFile", "reference", "externalDocumentId"];
/// Keys whose text is an expression of licenses, or a list of them.
const LICENSES: [&str; 6] = [
    "licenseId",
    "licenseConcluded",
    "licenseDeclared",
    "licenseInfoFromFiles",
    "licenseInfoInFiles",
    "licenseInfoInSnippets",
];
/// Keys whose text is a path in the image.
const PATHS: [&str; 2] = ["fileName", "packageFileName"];

/// An image, or one of its places in the system.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Its reference.
    pub reference: &'a str,
    /// Where its files are in the system; empty at the root.
    pub prefix: &'a str,
}

/// What tells a part's identifiers and paths apart.
pub(super) struct Scope<'a> {
    /// Number of the part, the first is 1.
    pub number: u32,
    /// Where the image's files are in the system.
    pub prefix: &'a str,
}

impl Scope<'_> {
    /// Gives all identifiers and paths in an element of a document the place of this part.
    pub fn apply(&self, element: &mut Map<String, Value>) {
        for (key, value) in element {
            match key.as_str() {
                key if IDENTIFIERS.contains(&key) => each_text(value, &|text| self.identifier(text)),
                key if LICENSES.contains(&key) => each_text(value, &|text| self.expression(text)),
                key if PATHS.contains(&key) => each_text(value, &|text| self.path(text)),
                _ => self.apply_within(value),
            }
        }
    }

    fn apply_within(&self, value: &mut Value) {
        match value {
            Value::Object(map) => self.apply(map),
            Value::Array(values) => values.iter_mut().for_each(|value| self.apply_within(value)),
            _ => {}
        }
    }

    /// An identifier with the number of this part; that of the document itself stays, and so do `NONE` and the like.
    pub fn identifier(&self, text: &str) -> String {
        let number = self.number;
        if text == DOCUMENT {
            return text.to_owned();
        }
        let prefixes = ["SPDXRef-", "DocumentRef-", "LicenseRef-"];
        let found = prefixes.iter().find_map(|prefix| Some((prefix, text.strip_prefix(prefix)?)));
        found.map_or_else(|| text.to_owned(), |(prefix, rest)| format!("{prefix}{number}-{rest}"))
    }

    /// The same for every identifier in an expression such as `(MIT OR LicenseRef-x)`.
    fn expression(&self, text: &str) -> String {
        let words = text.split_inclusive([' ', '(', ')']);
        words.map(|word| self.identifier(word)).collect()
    }

    /// Where a path of the image is in the system.
    pub fn path(&self, path: &str) -> String {
        let mut parts: Vec<&str> = Vec::new();
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        if !self.prefix.is_empty() {
            parts.insert(0, self.prefix);
        }
        parts.join("/")
    }
}

fn each_text(value: &mut Value, change: &dyn Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = change(text),
        Value::Array(values) => values.iter_mut().for_each(|value| each_text(value, change)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn identifiers_and_paths_are_those_of_the_part() {
        let mut element = json!({
            "SPDXID": "SPDXRef-a", "hasFiles": ["SPDXRef-b", "SPDXRef-DOCUMENT"], "relatedSpdxElement": "NOASSERTION",
            "externalDocumentId": "DocumentRef-d", "spdxElementId": "DocumentRef-d:SPDXRef-a",
            "licenseDeclared": "MIT AND (LicenseRef-x OR DocumentRef-d:LicenseRef-y)", "licenseInfoFromFiles": ["NONE"],
            "fileName": "./usr//lib/../../../etc/x", "packageFileName": "/a", "name": "SPDXRef-a",
            "ranges": [{"startPointer": {"reference": "SPDXRef-a", "offset": 1}}],
        });
        Scope { number: 3, prefix: "c/s" }.apply(element.as_object_mut().unwrap());
        let expected = json!({
            "SPDXID": "SPDXRef-3-a", "hasFiles": ["SPDXRef-3-b", "SPDXRef-DOCUMENT"], "relatedSpdxElement": "NOASSERTION",
            "externalDocumentId": "DocumentRef-3-d", "spdxElementId": "DocumentRef-3-d:SPDXRef-a",
            "licenseDeclared": "MIT AND (LicenseRef-3-x OR DocumentRef-3-d:LicenseRef-y)", "licenseInfoFromFiles": ["NONE"],
            "fileName": "c/s/etc/x", "packageFileName": "c/s/a", "name": "SPDXRef-a",
            "ranges": [{"startPointer": {"reference": "SPDXRef-3-a", "offset": 1}}],
        });
        assert_eq!(element, expected);
        assert_eq!(Scope { number: 1, prefix: "" }.path("/etc/x"), "etc/x");
    }
}
