//! Hostile labels of images.

use serde_json::json;

use super::measured::{can_measure, run};
use super::texts::texts;
use crate::common::workshop::Workshop;

const LABEL: &str = "org.mobyproject.config";
const SPEC: &str = "services: [{name: s, image: q.io/a}, {name: t, image: q.io/a}]";

/// The image is refused with `code`, and within bounds.
fn label(name: &str, text: &str, code: i32) -> String {
    let mut shop = Workshop::new();
    shop.image_with("a", &["x = 1"], json!({"Labels": {LABEL: text}}));
    shop.write("x.yml", SPEC);
    run(&shop, name, "inspect x.yml", None, code)
}

#[test]
fn hostile_labels_are_refused_within_bounded_memory() {
    if !can_measure() {
        return;
    }
    // As JSON a text is longer: those with many escapes do not fit into an image config, which is refused as such.
    for (name, text) in texts() {
        let fits = serde_json::to_string(&text).unwrap().len() < 8 << 20;
        let said = label(name, &text, if fits { 3 } else { 1 });
        assert!(!fits || said.contains(LABEL), "{name}: {said}");
    }
}

#[test]
fn hostile_json_labels_are_refused_within_bounded_memory() {
    if !can_measure() {
        return;
    }
    for (name, text) in [
        ("nested", "[".repeat(1 << 20)),
        ("objects", "{\"a\":".repeat(1 << 20)),
        ("values", format!("{{\"env\": [{}\"\"]}}", "\"\",".repeat(1 << 20))),
        ("keys", format!("{{{}\"a\": 1}}", "\"env\": [], ".repeat(40_000))),
        ("numbers", format!("{{\"uid\": {}}}", "9".repeat(1 << 20))),
        ("names", r#"{"name": "x", "image": "y"}"#.to_owned()),
    ] {
        label(name, &text, 3);
    }
}

#[test]
fn a_large_label_that_is_right_is_taken() {
    if !can_measure() {
        return;
    }
    let env: Vec<String> = (0..50_000).map(|i| format!("\"NAME{i}=value\"")).collect();
    label("environment", &format!("{{\"env\": [{}]}}", env.join(",")), 0);
}
