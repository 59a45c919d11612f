//! A bill of materials as CycloneDX: of each package of SPDX what the other format can hold.
//!
//! # Format
//! CycloneDX 1.5, `bom-1.5.schema.json`.

use serde_json::{Map, Value, json};

use crate::base::Civil;

/// The document without its components.
pub(super) fn head(uuid: &str, created: i64) -> Value {
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": format!("urn:uuid:{uuid}"),
        "version": 1,
        "metadata": {
            "timestamp": Civil::of(created).to_string(),
            "tools": {"components": [{"type": "application", "name": "lkit"}]},
        },
    })
}

/// A package of SPDX as a component.
pub(super) fn component(package: &Value) -> Value {
    let text = |key: &str| package.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let is_known = |text: &&str| !matches!(*text, "NOASSERTION" | "NONE");
    let kind = if text("primaryPackagePurpose") == Some("CONTAINER") { "container" } else { "library" };
    let mut component = Map::new();
    component.insert("type".to_owned(), kind.into());
    component.insert("bom-ref".to_owned(), text("SPDXID").into());
    component.insert("name".to_owned(), text("name").unwrap_or("unknown").into());
    let values = [
        ("version", text("versionInfo").map(Value::from)),
        ("licenses", license(text("licenseDeclared").filter(is_known).or(text("licenseComments")))),
        ("purl", package_url(package).map(Value::from)),
        ("properties", text("packageFileName").map(|path| json!([{"name": "lkit:path", "value": path}]))),
    ];
    component.extend(values.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    component.into()
}

fn license(name: Option<&str>) -> Option<Value> {
    name.map(|name| json!([{"license": {"name": name}}]))
}

fn package_url(package: &Value) -> Option<&str> {
    let all = package.get("externalRefs")?.as_array()?;
    let found = all.iter().find(|one| one.get("referenceType").and_then(Value::as_str) == Some("purl"))?;
    found.get("referenceLocator")?.as_str()
}
