//! Reads an attestation: an in-toto statement around an SPDX document, element by element.
//!
//! # Format
//! in-toto attestation framework, statement v0.1 and v1; SPDX specification 2.3, clause 7 and following, as JSON.

use std::borrow::Cow;
use std::fmt;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::Error;
use super::bill::{Bill, Section};
use super::scope::{Part, Scope};

/// The type of a statement whose predicate is an SPDX document.
pub const SPDX_PREDICATE: &str = "https://spdx.dev/Document";
/// Largest attestation that is read, in bytes; those of whole distributions, with all their files, have some ten million.
pub const MAX_STATEMENT: u64 = 64 << 20;
/// Longest text of one element in bytes; that of a package with a hundred thousand files has some megabytes.
const MAX_ELEMENT: usize = 4 << 20;

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement<'a> {
    predicate_type: Cow<'a, str>,
    #[serde(borrow)]
    predicate: &'a RawValue,
}

impl Bill {
    /// Adds what the attestation of an image says.
    ///
    /// # Errors
    /// When it is none, or the bill becomes too large.
    pub fn add_statement(&mut self, part: Part<'_>, statement: &[u8]) -> Result<(), Error> {
        let scope = Scope { number: self.next_part(), prefix: part.prefix };
        let invalid = |error: serde_json::Error| Error::Statement(error.to_string());
        let statement: Statement<'_> = serde_json::from_slice(statement).map_err(invalid)?;
        if statement.predicate_type != SPDX_PREDICATE {
            return Err(Error::Statement(format!("it is of type `{}`", statement.predicate_type)));
        }
        let mut reader = serde_json::Deserializer::from_str(statement.predicate.get());
        let version = (Document { bill: self, scope: &scope }).deserialize(&mut reader).map_err(invalid)?;
        match version {
            Some(version) if version.starts_with("SPDX-2.") => self.check_size(),
            Some(version) => Err(Error::Statement(format!("it is `{version}`, not a version 2 of SPDX"))),
            None => Err(Error::Statement("it has no `spdxVersion`".to_owned())),
        }
    }
}

/// A document whose elements go into a bill; gives its version.
struct Document<'a> {
    bill: &'a mut Bill,
    scope: &'a Scope<'a>,
}

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an SPDX document")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut version = None;
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            let section = match &*key {
                "spdxVersion" => {
                    version = Some(map.next_value()?);
                    continue;
                }
                "documentDescribes" => {
                    let described: Option<Vec<String>> = bounded(map.next_value()?)?;
                    self.describe(described.unwrap_or_default());
                    continue;
                }
                key => Section::named(key),
            };
            match section {
                Some(section) => map.next_value_seed(Elements { bill: self.bill, scope: self.scope, section })?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(version)
    }
}

impl Document<'_> {
    /// What the older list of described elements says, as relationships.
    fn describe(&mut self, described: Vec<String>) {
        for id in described {
            let id = self.scope.identifier(&id);
            let relationship = json!({"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES",
                                      "relatedSpdxElement": id});
            self.bill.push(Section::Relationships, &relationship);
        }
    }
}

/// The elements of one section of a document.
struct Elements<'a> {
    bill: &'a mut Bill,
    scope: &'a Scope<'a>,
    section: Section,
}

impl<'de> DeserializeSeed<'de> for Elements<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of elements")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(text) = list.next_element()? {
            let mut element: Map<String, Value> = bounded(text)?;
            if self.section.has_identifiers() {
                check_identifier(&element).map_err(A::Error::custom)?;
            }
            if self.section == Section::Packages {
                // An image without files of its own is where its files are.
                element.entry("packageFileName").or_insert_with(|| "".into());
            }
            self.scope.apply(&mut element);
            self.bill.push(self.section, &Value::Object(element));
        }
        Ok(())
    }
}

/// A value from its text: as values take many times the room of it, no longer one is taken.
fn bounded<T: DeserializeOwned, E: serde::de::Error>(text: &RawValue) -> Result<T, E> {
    if text.get().len() > MAX_ELEMENT {
        return Err(E::custom(format!("an element has over {MAX_ELEMENT} bytes")));
    }
    serde_json::from_str(text.get()).map_err(E::custom)
}

/// Identifiers are of letters, digits, `.` and `-` (clause 7.2): one that is not could stand for another.
fn check_identifier(element: &Map<String, Value>) -> Result<(), &'static str> {
    let id = element.get("SPDXID").and_then(Value::as_str).and_then(|id| id.strip_prefix("SPDXRef-"));
    let is_right = |id: &str| !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'));
    id.filter(|id| is_right(id)).map(drop).ok_or("an element has no right `SPDXID`")
}
