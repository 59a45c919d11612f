//! The resolved spec as text, as `metadata` files hold it and a dry run prints it.
//!
//! # Format
//! As LinuxKit writes it: every section in its order, in YAML as Go's yaml.v2 encodes it and in JSON as Go's
//! `encoding/json` indents it with four blanks; types of the OCI runtime specification in lower case in YAML.

use serde_json::{Map, Value};

use super::out::Out;
use super::plain::BINARY;
use super::schema::{Field, Kind, Show};
use super::sections::SPEC;
use super::write_json::json;
use super::write_yaml::{natural, yaml};
use super::{MetadataFormat, Spec};

impl Spec {
    /// The spec as text; `expand` gives a reference its full name.
    pub fn to_text(&self, format: MetadataFormat, expand: &dyn Fn(&str) -> String) -> String {
        let writer = Writer { format, expand };
        let sections = SPEC.iter().filter(|field| field.show == Show::Always);
        let shown = |field: &Field| {
            let value = self.document.sections.get(field.key);
            let expands = field.key != "volumes";
            let out =
                value.map_or_else(|| writer.zero(&field.kind), |value| writer.arrange(value, &field.kind, expands));
            (field.key.to_owned(), if format == MetadataFormat::Json { null_when_empty(out) } else { out })
        };
        let whole = Out::Map(sections.map(shown).collect());
        match format {
            MetadataFormat::Yaml => yaml(&whole),
            MetadataFormat::Json => json(&whole),
        }
    }
}

/// A section without entries is a nil slice in Go.
fn null_when_empty(out: Out<'_>) -> Out<'_> {
    if matches!(&out, Out::List(items) if items.is_empty()) { Out::Null } else { out }
}

struct Writer<'e> {
    format: MetadataFormat,
    expand: &'e dyn Fn(&str) -> String,
}

impl Writer<'_> {
    fn arrange<'a>(&self, value: &'a Value, kind: &Kind, expands: bool) -> Out<'a> {
        match (kind, value) {
            (Kind::Map(fields), Value::Object(object)) => Out::Map(self.fields(Some(object), fields, expands)),
            (Kind::List(item), Value::Array(items)) => {
                Out::List(items.iter().map(|value| self.arrange(value, item, expands)).collect())
            }
            (Kind::Reference, Value::String(text)) if expands && !text.is_empty() => {
                Out::Text((self.expand)(text).into())
            }
            (_, Value::Object(object)) => match object.get(BINARY).and_then(Value::as_str) {
                Some(bytes) if matches!(kind, Kind::Contents) => Out::Binary(bytes),
                _ => self.texts(object),
            },
            (_, Value::Array(items)) => {
                Out::List(items.iter().map(|value| self.arrange(value, kind, expands)).collect())
            }
            (_, Value::String(text)) => Out::Text(text.into()),
            (_, Value::Number(number)) => Out::Number(number),
            (_, Value::Bool(value)) => Out::Bool(*value),
            (_, Value::Null) => Out::Null,
        }
    }

    /// Strings by string, sorted as the Go encoders do.
    fn texts<'a>(&self, object: &'a Map<String, Value>) -> Out<'a> {
        let mut entries: Vec<(&String, &Value)> = object.iter().collect();
        match self.format {
            MetadataFormat::Yaml => entries.sort_by(|(a, _), (b, _)| natural(a, b)),
            MetadataFormat::Json => entries.sort_by_key(|(key, _)| *key),
        }
        Out::Map(
            entries.into_iter().map(|(key, value)| (key.clone(), self.arrange(value, &Kind::Text, false))).collect(),
        )
    }

    fn fields<'a>(
        &self,
        object: Option<&'a Map<String, Value>>,
        fields: &[Field],
        expands: bool,
    ) -> Vec<(String, Out<'a>)> {
        let is_yaml = self.format == MetadataFormat::Yaml;
        let mut entries = Vec::new();
        for field in fields {
            let value = object.and_then(|object| object.get(field.key));
            let zero = || self.zero(&field.kind);
            let unset = match (field.show, is_yaml) {
                (Show::Always | Show::OciAlways, _) | (Show::OciPlain, true) | (Show::Struct, false) => Some(zero()),
                (Show::OciPointer, true) => Some(Out::Null),
                _ => None,
            };
            let hides_zero = match field.show {
                Show::Filled => true,
                Show::OciPlain => !is_yaml,
                Show::Struct => is_yaml,
                _ => false,
            };
            let value = value.filter(|value| !(hides_zero && is_zero(value)));
            let Some(out) = value.map(|value| self.arrange(value, &field.kind, expands)).or(unset) else { continue };
            entries.push((self.key(field), out));
        }
        entries
    }

    fn key(&self, field: &Field) -> String {
        let is_oci = matches!(field.show, Show::OciPointer | Show::OciPlain | Show::OciAlways);
        match self.format {
            MetadataFormat::Json => field.json.to_owned(),
            MetadataFormat::Yaml if is_oci => field.key.to_ascii_lowercase(),
            MetadataFormat::Yaml => field.key.to_owned(),
        }
    }

    /// What a field looks like that is not set.
    fn zero<'a>(&self, kind: &Kind) -> Out<'a> {
        match kind {
            Kind::Bool => Out::Bool(false),
            Kind::Integer(..) => Out::Zero,
            Kind::List(_) => Out::List(Vec::new()),
            Kind::Map(fields) => Out::Map(self.fields(None, fields, false)),
            Kind::Texts | Kind::Unset("{}") => Out::Map(Vec::new()),
            Kind::Id | Kind::Unset(_) => Out::Null,
            Kind::Text | Kind::Contents | Kind::Reference | Kind::OneOf(_) | Kind::PageSize => Out::Text("".into()),
        }
    }
}

/// Whether Go's `omitempty` leaves it out.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(object) => object.values().all(Value::is_null),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Input, parse};
    use super::*;

    fn written(text: &str, format: MetadataFormat) -> String {
        let parsed = parse(&[Input { name: "a.yml".to_owned(), text: text.as_bytes().to_vec() }]).unwrap();
        parsed.spec.to_text(format, &|reference| format!("docker.io/{reference}"))
    }

    const TEXT: &str = "
kernel: {image: a/k, cmdline: 'x y'}
services:
  - name: s
    image: a/s
    uid: -1
    sysctl: {net.b10: '1', net.b9: '0'}
    mounts: [{type: cgroup}]
    runtime: {mkdir: [], bindNS: {net: /n}}
    resources: {pids: {limit: 5}}
files: [{path: /a, contents: \"1\\n2\\n\", mode: '0644'}, {path: b, contents: !!binary /w==}]
volumes: [{name: v, image: x}]
trust: {org: [a]}
";

    #[test]
    fn yaml_is_written_as_linuxkit_writes_it() {
        let expected = "kernel:
  image: docker.io/a/k
  cmdline: x y
init: []
onboot: []
onshutdown: []
services:
- name: s
  image: docker.io/a/s
  mounts:
  - destination: \"\"
    type: cgroup
    source: \"\"
    options: []
    uidmappings: []
    gidmappings: []
  uid: -1
  resources:
    devices: []
    memory: null
    cpu: null
    pids:
      limit: 5
    blockio: null
    hugepagelimits: []
    network: null
    rdma: {}
    unified: {}
  sysctl:
    net.b9: \"0\"
    net.b10: \"1\"
  runtime:
    mkdir: []
    bindNS:
      net: /n
files:
- path: /a
  directory: false
  contents: |
    1
    2
  optional: false
  mode: \"0644\"
- path: b
  directory: false
  contents: !!binary /w==
  optional: false
volumes:
- name: v
  image: x
";
        assert_eq!(written(TEXT, MetadataFormat::Yaml), expected);
    }

    #[test]
    fn json_is_written_as_linuxkit_writes_it() {
        let text = written(TEXT, MetadataFormat::Json);
        let value: Value = serde_json::from_str(&text).unwrap();
        let compact = |key: &str| value["services"][0][key].to_string();
        assert_eq!(compact("mounts"), r#"[{"destination":"","type":"cgroup"}]"#);
        assert_eq!(compact("resources"), r#"{"pids":{"limit":5}}"#);
        assert_eq!(compact("runtime"), r#"{"mkdir":[],"bindNS":{"net":"/n"}}"#);
        assert_eq!(compact("sysctl"), r#"{"net.b10":"1","net.b9":"0"}"#);
        assert_eq!((&value["onboot"], &value["files"][1]["contents"]), (&Value::Null, &Value::from("\u{fffd}")));
        assert!(text.starts_with("{\n    \"kernel\": {\n        \"image\": \"docker.io/a/k\",\n"), "{text}");
    }
}
