//! One image, or images with one large layer, under many names: each name costs what the spec says of it, not an image.

use lkit::base::Digest;
use serde_json::{Value, json};

use super::layers::{file, layer};
use super::measured::{can_measure, run};
use crate::common::workshop::{ARCH, Workshop};

/// A part of a spec for each name of an image.
fn each(key: &str, names: usize, more: &str) -> String {
    (0..names).fold(format!("{key}:\n"), |text, i| format!("{text}- {{name: n{i}, image: 'q.io/a:t{i}'{more}}}\n"))
}

/// Looks at a spec that names the images `q.io/a:t0`, `q.io/a:t1`, ….
fn look(name: &str, shop: &mut Workshop, images: &[Value], spec: &str, code: i32) -> String {
    for (number, image) in images.iter().enumerate() {
        shop.layout.name(&format!("q.io/a:t{number}"), image);
    }
    shop.write("x.yml", spec);
    run(shop, name, "inspect x.yml", None, code)
}

#[test]
fn an_image_under_many_names_is_kept_once() {
    if !can_measure() {
        return;
    }
    let mut shop = Workshop::new();
    let tar = layer(20_000, |i| file(&format!("f{i}")));
    let image = shop.described(ARCH, &[tar], json!({}));
    look("ten services", &mut shop, &vec![image.clone(); 10], &each("services", 10, ""), 0);
    let said = look("200 services", &mut shop, &vec![image; 200], &each("services", 200, ""), 1);
    assert!(said.contains("images that are laid out again have over 1000000 entries"), "{said}");
}

#[test]
fn a_layer_of_many_images_is_merged_again_within_bounds() {
    if !can_measure() {
        return;
    }
    let mut shop = Workshop::new();
    let shared = layer(20_000, |i| file(&format!("f{i}")));
    let own = |i: usize| layer(1, |_| file(&format!("own{i}")));
    let images: Vec<Value> = (0..80).map(|i| shop.described(ARCH, &[shared.clone(), own(i)], json!({}))).collect();
    let said = look("80 services", &mut shop, &images, &each("services", 80, ""), 1);
    assert!(said.contains("the same layers so often") && said.contains("x.yml:"), "{said}");
    let repeated = shop.described(ARCH, &vec![shared; 80], json!({}));
    let said = look("80 times a layer", &mut shop, &[repeated], &each("services", 1, ""), 1);
    assert!(said.contains("the same layers so often"), "{said}");
}

#[test]
fn documents_of_an_image_under_many_names_are_kept_once() {
    if !can_measure() {
        return;
    }
    let mut shop = Workshop::new();
    let label = "x".repeat(2 << 20);
    let tar = layer(1, |_| file("f"));
    let config = json!({"architecture": ARCH, "os": "linux", "config": {"Labels": {"l": label}},
                        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&tar).to_string()]}});
    let blob = shop.layout.described("application/vnd.oci.image.layer.v1.tar", &tar);
    let image = shop.manifest(ARCH, &config.to_string(), &[blob]);
    let images = vec![image; 150];
    look("services", &mut shop, &images, &each("services", 150, ""), 0);
    look("volumes", &mut shop, &images, &each("volumes", 150, ", format: oci"), 0);
}
