//! A bill of materials in the making: elements as text, section by section.

use serde_json::{Value, json};

use super::database::Package;
use super::scope::Part;
use super::{Error, cyclonedx, spdx};
use crate::base::Digest;

/// Longest document in bytes: larger ones are of no use to anybody who reads them.
const MAX_DOCUMENT: usize = 128 << 20;
/// Most packages of all databases; a large distribution has some ten thousand installed.
const MOST_PACKAGES: u32 = 200_000;

/// How a bill of materials is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// SPDX 2.3 as JSON.
    #[default]
    Spdx,
    /// CycloneDX 1.5 as JSON.
    CycloneDx,
}

impl Format {
    /// The name of its file.
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Spdx => "sbom.spdx.json",
            Self::CycloneDx => "sbom.cdx.json",
        }
    }
}

/// The lists of an SPDX document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Packages,
    Files,
    Snippets,
    Licenses,
    Relationships,
    Annotations,
    ExternalDocuments,
}

impl Section {
    /// All of them, in the order in which they are written.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::Packages, "packages"),
        (Self::Files, "files"),
        (Self::Snippets, "snippets"),
        (Self::Licenses, "hasExtractedLicensingInfos"),
        (Self::Relationships, "relationships"),
        (Self::Annotations, "annotations"),
        (Self::ExternalDocuments, "externalDocumentRefs"),
    ];

    /// The section with this key.
    pub fn named(key: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, name)| *name == key).map(|(section, _)| *section)
    }

    /// Whether each of its elements has an identifier that others refer to.
    pub fn has_identifiers(self) -> bool {
        matches!(self, Self::Packages | Self::Files | Self::Snippets)
    }
}

/// A bill of materials in the making.
pub struct Bill {
    format: Format,
    /// When it was made, in seconds since 1970.
    created: i64,
    /// The elements of each section, in the order of [`Section::ALL`], with commas between them.
    sections: [String; Section::ALL.len()],
    parts: u32,
    packages: u32,
    is_too_large: bool,
}

impl Bill {
    /// A bill of nothing yet; `created` is in seconds since 1970.
    pub fn new(format: Format, created: i64) -> Self {
        Self { format, created, sections: Default::default(), parts: 0, packages: 0, is_too_large: false }
    }

    /// The number of the next part; the first is 1.
    pub(super) const fn next_part(&mut self) -> u32 {
        self.parts += 1;
        self.parts
    }

    /// Adds an image by its name, for packages of which there is no attestation; its number.
    pub fn add_image(&mut self, part: Part<'_>) -> u32 {
        let number = self.next_part();
        let (package, relationship) = spdx::image(number, part);
        self.push(Section::Packages, &package);
        self.push(Section::Relationships, &relationship);
        number
    }

    /// Adds a package of the image that was added last.
    ///
    /// # Errors
    /// When there are too many, or the bill becomes too large.
    pub fn add_package(&mut self, part: Part<'_>, package: &Package) -> Result<(), Error> {
        self.packages += 1;
        if self.packages > MOST_PACKAGES {
            return Err(Error::TooManyPackages(MOST_PACKAGES));
        }
        let (package, relationship) = spdx::package((self.parts, self.packages), part, package);
        self.push(Section::Packages, &package);
        self.push(Section::Relationships, &relationship);
        self.check_size()
    }

    /// The document.
    ///
    /// # Errors
    /// When it is too large.
    pub fn finish(self) -> Result<Vec<u8>, Error> {
        self.check_size()?;
        let lists: String = match self.format {
            Format::Spdx => {
                let lists = Section::ALL.iter().zip(&self.sections).filter(|(_, elements)| !elements.is_empty());
                lists.map(|((_, name), elements)| format!(",\n\"{name}\":[\n{elements}\n]")).collect()
            }
            Format::CycloneDx => format!(",\n\"components\":[\n{}\n]", self.sections[0]),
        };
        let uuid = Digest::of(format!("{}{lists}", self.created).as_bytes()).uuid().to_string();
        let head = match self.format {
            Format::Spdx => spdx::head(&uuid, self.created),
            Format::CycloneDx => cyclonedx::head(&uuid, self.created),
        };
        let head = head.to_string();
        Ok(format!("{}{lists}\n}}\n", head.strip_suffix('}').unwrap_or_default()).into_bytes())
    }

    /// Adds an element of SPDX to a section.
    pub(super) fn push(&mut self, section: Section, element: &Value) {
        match (self.format, section) {
            (Format::Spdx, _) => self.write(section, element),
            (Format::CycloneDx, Section::Packages) => self.write(section, &json!(cyclonedx::component(element))),
            (Format::CycloneDx, _) => {}
        }
    }

    fn write(&mut self, section: Section, element: &Value) {
        if self.check_size().is_err() {
            self.is_too_large = true;
            return;
        }
        let text = element.to_string();
        let at = Section::ALL.iter().position(|(known, _)| *known == section).expect("all sections are listed");
        let elements = &mut self.sections[at];
        if !elements.is_empty() {
            elements.push_str(",\n");
        }
        elements.push_str(&text);
    }

    /// Fails when the bill has become too large.
    pub(super) fn check_size(&self) -> Result<(), Error> {
        let size: usize = self.sections.iter().map(String::len).sum();
        if self.is_too_large || size > MAX_DOCUMENT { Err(Error::TooLarge(MAX_DOCUMENT)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ErrorKind, Fault as _};

    const PART: Part<'_> = Part { reference: "q.io/a", prefix: "x" };

    fn statement(predicate: &str) -> String {
        format!(
            r#"{{"_type": "https://in-toto.io/Statement/v0.1", "subject": [{{"name": "_"}}],
                     "predicate": {predicate}, "predicateType": "https://spdx.dev/Document"}}"#
        )
    }

    fn bill_of(format: Format, predicates: &[&str]) -> Value {
        let mut bill = Bill::new(format, 1_492_533_000);
        for predicate in predicates {
            bill.add_statement(PART, statement(predicate).as_bytes()).unwrap();
        }
        serde_json::from_slice(&bill.finish().unwrap()).unwrap()
    }

    const DOCUMENT: &str = r#"{"relationships": [{"spdxElementId": "SPDXRef-DOCUMENT", "relatedSpdxElement": "SPDXRef-p"}],
        "packages": [{"name": "p", "SPDXID": "SPDXRef-p", "licenseDeclared": "MIT"}], "documentDescribes": ["SPDXRef-p"],
        "files": null, "spdxVersion": "SPDX-2.2", "comment": "left out"}"#;

    #[test]
    fn documents_are_merged_and_their_identifiers_told_apart() {
        let bill = bill_of(Format::Spdx, &[DOCUMENT, DOCUMENT]);
        let packages = json!([
            {"name": "p", "SPDXID": "SPDXRef-1-p", "licenseDeclared": "MIT", "packageFileName": "x"},
            {"name": "p", "SPDXID": "SPDXRef-2-p", "licenseDeclared": "MIT", "packageFileName": "x"},
        ]);
        assert_eq!(bill["packages"], packages);
        let ids: Vec<&str> = bill["relationships"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|one| one["relatedSpdxElement"].as_str())
            .collect();
        assert_eq!(ids, ["SPDXRef-1-p", "SPDXRef-1-p", "SPDXRef-2-p", "SPDXRef-2-p"]);
        assert_eq!(bill["creationInfo"]["created"], "2017-04-18T16:30:00Z");
        assert!(bill.get("files").is_none() && bill.get("comment").is_none());
    }

    #[test]
    fn the_same_parts_give_the_same_bytes_and_others_another_namespace() {
        let namespace = |predicates: &[&str]| bill_of(Format::Spdx, predicates)["documentNamespace"].clone();
        assert_eq!(namespace(&[DOCUMENT]), namespace(&[DOCUMENT]));
        assert_ne!(namespace(&[DOCUMENT]), namespace(&[DOCUMENT, DOCUMENT]));
        assert_eq!(bill_of(Format::Spdx, &[])["name"], "sbom");
    }

    #[test]
    fn packages_are_components_of_cyclonedx() {
        let bill = bill_of(Format::CycloneDx, &[DOCUMENT]);
        let component = json!([{"type": "library", "bom-ref": "SPDXRef-1-p", "name": "p",
            "licenses": [{"license": {"name": "MIT"}}], "properties": [{"name": "lkit:path", "value": "x"}]}]);
        assert_eq!((&bill["components"], &bill["specVersion"]), (&component, &json!("1.5")));
        assert_eq!(bill_of(Format::CycloneDx, &[])["components"], json!([]));
    }

    #[test]
    fn what_is_no_document_is_refused() {
        let deep = format!("{{\"packages\": [{{\"a\": {}1{}}}]}}", "[".repeat(500), "]".repeat(500));
        let wide = format!("{{\"packages\": [{{\"a\": [{}0]}}]}}", "0,".repeat(2 << 20));
        let rows = [
            ("3", "invalid type: integer `3`, expected an SPDX document"),
            (r#"{"spdxVersion": "SPDX-3.0"}"#, "it is `SPDX-3.0`, not a version 2 of SPDX"),
            ("{}", "it has no `spdxVersion`"),
            (r#"{"packages": 3}"#, "invalid type: integer `3`, expected a list of elements"),
            (r#"{"packages": [3]}"#, "invalid type: integer `3`, expected a map"),
            (r#"{"packages": [{"name": "x"}]}"#, "an element has no right `SPDXID`"),
            (r#"{"files": [{"SPDXID": "SPDXRef-a b"}]}"#, "an element has no right `SPDXID`"),
            (&deep, "recursion limit exceeded"),
            (&wide, "an element has over 4194304 bytes"),
        ];
        for (predicate, message) in rows {
            let error = Bill::new(Format::Spdx, 0).add_statement(PART, statement(predicate).as_bytes()).unwrap_err();
            let told = error.to_string();
            let expected = format!("its attestation is no SPDX document: {message}");
            assert!(told.starts_with(&expected), "{told}");
            assert_eq!(error.kind(), ErrorKind::Corrupt);
        }
        let cut = &statement(DOCUMENT)[..200];
        let error = Bill::new(Format::Spdx, 0).add_statement(PART, cut.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("EOF while parsing"), "{error}");
        let other = r#"{"predicate": {}, "predicateType": "https://slsa.dev/provenance/v0.2"}"#;
        let error = Bill::new(Format::Spdx, 0).add_statement(PART, other.as_bytes()).unwrap_err();
        assert!(error.to_string().ends_with("it is of type `https://slsa.dev/provenance/v0.2`"), "{error}");
    }

    #[test]
    fn packages_without_end_are_refused() {
        let mut bill = Bill::new(Format::CycloneDx, 0);
        bill.add_image(PART);
        let added = (0..=MOST_PACKAGES).try_for_each(|_| bill.add_package(PART, &Package::default()));
        assert_eq!(added.unwrap_err().to_string(), "the databases list more than 200000 packages");
    }
}
