//! Elements of an SPDX document that lkit writes itself.

use serde_json::{Value, json};

use super::database::Package;
use super::scope::Part;
use crate::base::Civil;

const UNKNOWN: &str = "NOASSERTION";

/// The document without its lists.
pub(super) fn head(uuid: &str, created: i64) -> Value {
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": "sbom",
        "documentNamespace": format!("https://github.com/linuxkit/linuxkit/sbom-{uuid}"),
        "creationInfo": {
            "creators": ["Organization: LinuxKit", "Tool: lkit"],
            "created": Civil::of(created).to_string(),
        },
    })
}

/// An image whose packages are known from its databases, and that the document describes it.
pub(super) fn image(number: u32, part: Part<'_>) -> (Value, Value) {
    let id = image_id(number);
    let package = json!({
        "SPDXID": id,
        "name": part.reference,
        "primaryPackagePurpose": "CONTAINER",
        "packageFileName": part.prefix,
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": false,
    });
    (package, relationship("SPDXRef-DOCUMENT", "DESCRIBES", &id))
}

/// A package of a database, and that the image of this number contains it.
pub(super) fn package((image, number): (u32, u32), part: Part<'_>, package: &Package) -> (Value, Value) {
    let id = format!("SPDXRef-{image}-package-{number}");
    let mut element = json!({
        "SPDXID": id,
        "name": package.name,
        "versionInfo": package.version,
        "packageFileName": part.prefix,
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": false,
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": package.url,
        }],
    });
    if let Some(license) = &package.license {
        // What package managers say is not always an expression of SPDX.
        element["licenseComments"] = license.as_str().into();
    }
    if let Some(source) = &package.source {
        element["sourceInfo"] = format!("built from `{source}`").into();
    }
    (element, relationship(&image_id(image), "CONTAINS", &id))
}

fn image_id(number: u32) -> String {
    format!("SPDXRef-{number}-image")
}

fn relationship(from: &str, kind: &str, to: &str) -> Value {
    json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to})
}
