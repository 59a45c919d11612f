//! Hostile image configs, manifests and image indexes.

use lkit::base::Digest;
use serde_json::{Value, json};

use super::measured::{can_measure, run};
use crate::common::entries::tar_of;
use crate::common::workshop::{ARCH, Workshop};

const SPEC: &str = "services: [{name: s, image: q.io/a}]";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const MIB: usize = 1 << 20;

/// `q.io/a` is what `make` describes; looking at it ends with `code`.
fn image(name: &str, code: i32, make: impl FnOnce(&mut Workshop) -> Value) -> String {
    let mut shop = Workshop::new();
    let descriptor = make(&mut shop);
    shop.layout.name("q.io/a:latest", &descriptor);
    shop.write("x.yml", SPEC);
    run(&shop, name, "inspect x.yml", None, code)
}

/// Hostile texts where JSON is expected.
fn no_json() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("lists in lists", "[".repeat(7 * MIB).into_bytes()),
        ("objects in objects", "{\"config\":".repeat(700_000).into_bytes()),
        ("zeros", vec![0; 7 * MIB]),
        ("all ones", vec![0xff; 7 * MIB]),
        ("bad UTF-8 in a string", [&b"{\"mediaType\": \""[..], &[0xff; 9], b"\"}"].concat()),
        ("a text that does not end", ["{\"os\": \"", &"x".repeat(7 * MIB)].concat().into_bytes()),
        ("one key again and again", format!("{{{}\"a\": 1}}", "\"config\": {}, ".repeat(400_000)).into_bytes()),
        ("nothing", Vec::new()),
    ]
}

#[test]
fn hostile_image_configs_are_refused_within_bounded_memory() {
    if !can_measure() {
        return;
    }
    let tar = tar_of("x = 1");
    let with = |shop: &mut Workshop, config: &str| {
        let layer = shop.layout.described(LAYER, &tar);
        shop.manifest(ARCH, config, &[layer])
    };
    for (name, bytes) in no_json() {
        if let Ok(text) = String::from_utf8(bytes) {
            image(name, 5, |shop| with(shop, &text));
        }
    }
    let config = |part: &str| format!("{{\"architecture\": \"amd64\", \"os\": \"linux\", {part}}}");
    image("over its limit", 1, |shop| with(shop, &config(&format!("\"author\": \"{}\"", "x".repeat(9 * MIB)))));
    let rows = [
        ("numbers", config(&format!("\"config\": {{\"Cmd\": [{}1]}}", "1,".repeat(MIB)))),
        ("diff ids", config(&format!("\"rootfs\": {{\"diff_ids\": [{}\"\"]}}", "\"\",".repeat(MIB)))),
        ("more diff ids than layers", {
            let ids = format!("\"{}\",", Digest::of(b"")).repeat(90_000);
            config(&format!("\"rootfs\": {{\"diff_ids\": [{}\"{}\"]}}", ids, Digest::of(&tar)))
        }),
    ];
    for (name, text) in rows {
        image(name, 5, |shop| with(shop, &text));
    }
}

#[test]
fn a_large_image_config_that_is_right_is_taken() {
    if !can_measure() {
        return;
    }
    let tar = tar_of("x = 1");
    let pairs: Vec<String> = (0..100_000).map(|i| format!("\"key{i}\": \"value\"")).collect();
    let config = format!(
        "{{\"architecture\": \"amd64\", \"os\": \"linux\", \"config\": {{\"Labels\": {{{}}}, \"Env\": [{}\"\"]}}, \
         \"rootfs\": {{\"diff_ids\": [\"{}\"]}}}}",
        pairs.join(","),
        "\"A=b\",".repeat(500_000),
        Digest::of(&tar)
    );
    image("labels and environment", 0, |shop| {
        let layer = shop.layout.described(LAYER, &tar);
        shop.manifest(ARCH, &config, &[layer])
    });
}

#[test]
fn hostile_manifests_are_refused_within_bounded_memory() {
    if !can_measure() {
        return;
    }
    for (name, bytes) in no_json() {
        image(name, 5, |shop| shop.layout.described(MANIFEST, &bytes));
        image(name, 5, |shop| shop.layout.described(INDEX, &bytes));
    }
    let layer = json!({"mediaType": LAYER, "digest": Digest::of(b"").to_string(), "size": 0});
    image("layers", 5, |shop| shop.manifest(ARCH, r#"{"architecture": "amd64"}"#, &vec![layer; 30_000]));
    let huge = json!({"mediaType": LAYER, "digest": Digest::of(b"").to_string(), "size": u64::MAX});
    image("a size that nothing has", 4, |shop| {
        let config = json!({"architecture": ARCH, "rootfs": {"diff_ids": [Digest::of(b"").to_string()]}});
        shop.manifest(ARCH, &config.to_string(), &[huge])
    });
    let less = json!({"mediaType": LAYER, "digest": Digest::of(b"").to_string(), "size": -1});
    image("a negative size", 5, |shop| shop.manifest(ARCH, "{}", &[less]));
}

#[test]
fn image_indexes_that_multiply_are_looked_through_once() {
    if !can_measure() {
        return;
    }
    let said = image("indexes of one index", 4, |shop| {
        let mut descriptor = shop.described("arm64", &[tar_of("x = 1")], json!({}));
        for _ in 0..4 {
            descriptor["platform"] = Value::Null;
            let entries = vec![descriptor; 20_000];
            descriptor = shop.layout.index(&entries);
        }
        descriptor
    });
    assert!(said.contains("linux/arm64"), "{said}");
    image("platforms", 4, |shop| {
        let manifest = shop.described("arm64", &[tar_of("x = 1")], json!({}));
        let entry = |i: usize| {
            let mut entry = manifest.clone();
            entry["platform"] = json!({"os": "linux", "architecture": format!("a{i}")});
            entry
        };
        shop.layout.index(&(0..30_000).map(entry).collect::<Vec<_>>())
    });
}

#[test]
fn image_indexes_do_not_nest_without_end() {
    if !can_measure() {
        return;
    }
    let mut shop = Workshop::new();
    let mut descriptor = shop.described(ARCH, &[tar_of("x = 1")], json!({}));
    for _ in 0..5_000 {
        descriptor = shop.layout.index(&[descriptor]);
    }
    shop.layout.name("q.io/a:latest", &descriptor);
    for spec in [SPEC, "volumes: [{name: v, image: q.io/a, format: oci}]"] {
        shop.write("x.yml", spec);
        let said = run(&shop, "indexes in indexes", "inspect x.yml", None, 1);
        assert!(said.contains("image indexes are nested more than 4 deep"), "{said}");
    }
}
