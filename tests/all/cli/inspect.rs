//! `lkit inspect`: totals, shares, the largest files, and the extents of an artifact.

use serde_json::{Value, json};

use super::system::{System, assert_says};
use crate::common::workshop::Workshop;

/// Two images that share a layer, one of them used by two services.
fn shop() -> Workshop {
    let mut shop = Workshop::new();
    let shared = "lib/ @1\n lib/shared = 0123456789";
    shop.image("a", &[shared, "a = 12"]).image("b", &[shared, "b\u{1b}[2J = 1234\n b2 => b\u{1b}[2J"]);
    shop.write("x.yml", "init: [q.io/a]\nservices:\n- {name: s, image: q.io/b}\n- {name: t, image: q.io/b}\n");
    shop
}

fn told(shop: &Workshop, line: &str) -> Value {
    serde_json::from_str(&shop.good(line)).unwrap()
}

#[test]
fn shares_tell_what_each_image_brings_and_what_is_shared() {
    let shop = shop();
    let told = told(&shop, "inspect --json x.yml");
    let (a, b) = (&told["images"][0], &told["images"][1]);
    // The file of the shared layer is in the root and in the one lower directory of both services.
    assert_eq!(a["root"], json!({"files": 3, "bytes": 22}), "{told:#}");
    assert_eq!(a["rootShared"], json!({"files": 2, "bytes": 20}));
    assert_eq!(b["root"], json!({"files": 3, "bytes": 24}));
    assert_eq!(told["repeated"], json!({"files": 1, "bytes": 10}));
    assert_eq!((&a["layers"][0]["images"], &a["layers"][1]["images"]), (&json!(2), &json!(1)));
    assert_eq!((&a["layers"][0]["cached"], &a["layers"][0]["diffSize"]), (&json!(false), &a["layers"][0]["size"]));
    assert_eq!((&told["layers"]["count"], &told["layers"]["cached"]), (&json!(3), &json!(0)));
    assert_eq!(told["layers"]["size"], told["layers"]["diffSize"]);
    assert!(told["layers"]["indexSize"].as_u64().unwrap() > 0);
}

#[test]
fn a_summary_has_sizes_for_people_and_the_largest_files() {
    let shop = shop();
    let summary = shop.good("inspect --largest=2 x.yml");
    assert_says(&summary, &["\nin all  2 images, 3 layers, ", "\ncached  0 B of ", "\nlargest files\n"]);
    assert_says(&summary, &[" of it in layers of other images, too\n", ", in a layout, index ", ", in 2 images\n"]);
    assert!(!summary.contains(" bytes") && !summary.contains('\u{1b}'), "{summary}");
    let all = told(&shop, "inspect --json --largest x.yml");
    let largest = all["largest"].as_array().unwrap();
    assert_eq!(largest.len(), 10);
    let sizes: Vec<u64> = largest.iter().map(|file| file["size"].as_u64().unwrap()).collect();
    assert!(sizes.is_sorted_by(|a, b| a >= b), "{sizes:?}");
    let two = told(&shop, "inspect --json --largest=2 x.yml");
    assert_eq!(two["largest"].as_array().unwrap(), &largest[..2]);
    assert_eq!(told(&shop, "inspect --json x.yml").get("largest"), None);
}

#[test]
fn artifacts_that_cannot_be_made_are_told_with_the_reason() {
    let mut shop = shop();
    shop.image("k", &["kernel = no kernel at all"]);
    shop.write("k.yml", "kernel: {image: q.io/k, tar: none}\ninit: [q.io/a]\n");
    let summary = shop.good("inspect k.yml");
    assert_says(&summary, &["\n  not made: k.iso: ", "\n  not made: k.efi: "]);
    let told = told(&shop, "inspect --json k.yml");
    let not_made = told["notMade"].as_array().unwrap();
    assert!(not_made.iter().any(|row| row["name"] == "k.iso" && row["reason"].as_str().unwrap().len() > 10));
    let made = told["artifacts"].as_array().unwrap();
    assert!(made.iter().all(|row| not_made.iter().all(|other| other["name"] != row["name"])));
}

#[test]
fn extents_tell_where_the_bytes_of_an_artifact_come_from() {
    let shop = shop();
    let told = told(&shop, "inspect --json --extents x-initrd.img x.yml");
    let extents = told["extents"].as_array().unwrap();
    let mut end = 0;
    for extent in extents {
        assert_eq!(extent["offset"], end);
        end += extent["length"].as_u64().unwrap();
    }
    assert_eq!(told["size"], end);
    let layers: Vec<&Value> = extents.iter().filter(|extent| extent["from"] == "layer").collect();
    // The content of `lib/shared` follows the headers of `lib/` and of itself in the tar.
    let shared = layers.iter().filter(|extent| extent["at"] == 1024 && extent["length"] == 10);
    assert_eq!(shared.count(), 2, "{layers:?}");
    let text = shop.good("inspect --extents x-initrd.img x.yml");
    assert_says(&text, &["x-initrd.img  ", "  generated\n", "  layer sha256:", " at 1024\n"]);
    assert_eq!(text.lines().count(), extents.len() + 2);
    let said = shop.bad("inspect --extents x-initrd.im x.yml", 2);
    assert_says(&said, &["--extents: there is no artifact `x-initrd.im`", "hint: did you mean `x-initrd.img`?"]);
}

#[test]
fn extents_as_text_are_bounded() {
    let mut shop = Workshop::new();
    let many: String = (0..600).map(|number| format!("f{number} = x\n")).collect();
    shop.image("a", &[&many]);
    shop.write("x.yml", "init: [q.io/a]\n");
    let text = shop.good("inspect --extents initrd.img x.yml");
    assert_eq!(text.lines().count(), 1003);
    let all = told(&shop, "inspect --json --extents initrd.img x.yml")["extents"].as_array().unwrap().len();
    assert_eq!(text.lines().last().unwrap(), format!("and {} more; `--json` tells all", all - 1000));
}

#[test]
fn every_byte_of_every_artifact_has_an_origin() {
    let system = System::new();
    let told: Value = serde_json::from_str(&system.good("inspect --json a.yml")).unwrap();
    let artifacts = told["artifacts"].as_array().unwrap();
    assert!(artifacts.len() > 15);
    for artifact in artifacts {
        let name = artifact["name"].as_str().unwrap();
        let told = system.good(&format!("inspect --json --extents {name} a.yml"));
        let told: Value = serde_json::from_str(&told).unwrap();
        let lengths = told["extents"].as_array().unwrap().iter().map(|extent| extent["length"].as_u64().unwrap());
        assert_eq!((lengths.sum::<u64>(), &told["size"]), (artifact["size"].as_u64().unwrap(), &artifact["size"]));
    }
}
