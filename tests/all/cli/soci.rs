//! Indexes of others: SOCI's, written and read, and eStargz and zstd:chunked, read; each in the place of a pass.

use std::fs;

use lkit::base::Digest;
use serde_json::{Value, json};

use super::indexes::{DIGESTS, Fleet};
use super::system::{assert_says, refused};
use crate::common::shelf::Lists;
use crate::common::stderr;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// How often layers of several spans were fetched whole since this many questions.
fn wholes(fleet: &Fleet, since: usize) -> usize {
    let asked = fleet.shelf.server.asked("/blobs/").split_off(since);
    let held = fleet.shelf.held();
    let is_whole = |request: &&crate::common::scripted::Request| {
        let (repository, digest) = request.path["/v2/".len()..].split_once("/blobs/").unwrap();
        let bytes = &held.blobs[&(repository.to_owned(), digest.to_owned())];
        let is_layer = bytes.starts_with(&[0x1f, 0x8b]) || bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
        is_layer && bytes.len() > 1_000_000 && request.range().is_none_or(|(start, end)| end - start == bytes.len())
    };
    asked.iter().filter(|request| request.method == "GET").filter(is_whole).count()
}

#[test]
fn an_index_of_soci_beside_an_image_is_used_where_it_is_trusted() {
    for lists in [Lists::Pages(3), Lists::Not] {
        let fleet = Fleet::new(lists);
        let right = fleet.good("maker", DIGESTS);
        assert_says(&fleet.good("maker", "index push --arch amd64 --soci v1 a.yml"), &["test/init:1: "]);
        let since = fleet.questions();
        assert_eq!(fleet.good("trusting", &format!("{DIGESTS} --store index --trust-indexes beside")), right);
        assert_eq!(wholes(&fleet, since), 0);
        let since = fleet.questions();
        assert_eq!(fleet.good("other", DIGESTS), right);
        assert!(wholes(&fleet, since) > 0, "nobody asked for it");
    }
}

#[test]
fn an_image_that_names_its_index_of_soci_needs_no_trust() {
    let fleet = Fleet::new(Lists::Not);
    let right = fleet.good("maker", DIGESTS);
    fleet.good("maker", "index push --arch amd64 --soci v2 --tag soci a.yml");
    let spec = fs::read_to_string(fleet.path("a.yml")).unwrap().replace(":1\n", ":soci\n");
    fs::write(fleet.path("b.yml"), spec).unwrap();
    let since = fleet.questions();
    let build = "build --arch amd64 -f kernel+initrd --digest --name a --store index b.yml";
    let sums = |text: &str| text.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>();
    let found = fleet.good("other", build);
    assert_eq!(wholes(&fleet, since), 0);
    // The root has the references of its spec in it, so only kernel and command line are the same.
    assert_eq!(sums(&found).len(), sums(&right).len());
    assert_eq!(sums(&found)[0], sums(&right)[0]);
    assert_eq!(fleet.good("third", &build.replace("--store index", "--store full")), found);
}

#[test]
fn what_cannot_be_asked_of_soci_is_refused() {
    let fleet = Fleet::new(Lists::Not);
    for (line, said) in [
        ("index push --soci v2 a.yml", "--tag TAG"),
        ("index push --soci v1 --tag x a.yml", "the image stays as it is"),
        ("index push --soci v3 a.yml", "v3"),
        ("index push --tag x a.yml", "--soci"),
    ] {
        assert_says(&refused(line, &fleet.output("a", line), 2), &[said]);
    }
}

/// Puts an image of one layer, with annotations, into a repository.
fn put(fleet: &Fleet, repository: &str, (layer, diff): (&[u8], &[u8]), media_type: &str, annotations: &Value) {
    let mut held = fleet.shelf.held();
    let config = json!({"architecture": "amd64", "os": "linux",
                        "rootfs": {"type": "layers", "diff_ids": [Digest::of(diff).to_string()]}})
    .to_string();
    let mut blob = |media_type: &str, bytes: &[u8]| {
        held.blobs.insert((repository.to_owned(), Digest::of(bytes).to_string()), bytes.to_vec());
        json!({"mediaType": media_type, "size": bytes.len(), "digest": Digest::of(bytes).to_string()})
    };
    let config = blob("application/vnd.oci.image.config.v1+json", config.as_bytes());
    let mut layer = blob(media_type, layer);
    layer["annotations"] = annotations.clone();
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]}).to_string();
    held.keep(repository, "1", MANIFEST, manifest.as_bytes());
}

#[test]
fn layers_with_their_index_in_them_need_no_pass() {
    let golden = crate::common::root().join("tests/all/layer/golden");
    let read = |name: &str| fs::read(golden.join(name)).unwrap();
    let decoded = |name: &str| match name.ends_with("zst") {
        true => zstd::decode_all(&*read(name)).unwrap(),
        false => {
            let mut diff = Vec::new();
            std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(&*read(name)), &mut diff).unwrap();
            diff
        }
    };
    let annotations: Value = serde_json::from_slice(&read("chunked.json")).unwrap();
    let fleet = Fleet::new(Lists::Not);
    let zst = "application/vnd.oci.image.layer.v1.tar+zstd";
    put(&fleet, "test/chunked", (&read("chunked.zst"), &decoded("chunked.zst")), zst, &annotations);
    put(&fleet, "test/plain", (&read("chunked.zst"), &decoded("chunked.zst")), zst, &json!({}));
    let host = &fleet.shelf.server.host;
    fs::write(fleet.path("c.yml"), format!("init:\n  - {host}/test/chunked:1\n")).unwrap();
    fs::write(fleet.path("d.yml"), format!("init:\n  - {host}/test/plain:1\n")).unwrap();
    let line = |spec: &str| format!("inspect --arch amd64 --tree --store index {spec}");
    let plain = fleet.good("plain", &line("d.yml"));
    let since = fleet.questions();
    assert_eq!(fleet.good("chunked", &line("c.yml")), plain);
    let (bytes, _) = fleet.blobs_asked(since);
    assert!(bytes < read("chunked.zst").len(), "{bytes} bytes to list it");
    // Bytes that do not have the digest that the annotation says: a pass, and a word about it.
    let mut wrong = annotations;
    let key = wrong.as_object().unwrap().keys().find(|key| key.ends_with("checksum")).unwrap().clone();
    wrong[key] = Digest::of(b"other").to_string().into();
    put(&fleet, "test/chunked", (&read("chunked.zst"), &decoded("chunked.zst")), zst, &wrong);
    let output = fleet.output("wrong", &line("c.yml"));
    assert_eq!(String::from_utf8_lossy(&output.stdout), plain);
    assert_says(&stderr(&output), &["the index of layer", "is passed over", "the digest of its table of contents is"]);
}

#[test]
fn an_index_that_one_image_names_decides_nothing_for_another() {
    let golden = crate::common::root().join("tests/all/layer/golden");
    let blob = fs::read(golden.join("chunked.zst")).unwrap();
    let diff = zstd::decode_all(&*blob).unwrap();
    let annotations: Value = serde_json::from_slice(&fs::read(golden.join("chunked.json")).unwrap()).unwrap();
    let fleet = Fleet::new(Lists::Not);
    let zst = "application/vnd.oci.image.layer.v1.tar+zstd";
    put(&fleet, "test/one", (&blob, &diff), zst, &annotations);
    put(&fleet, "test/two", (&blob, &diff), zst, &json!({}));
    let host = &fleet.shelf.server.host;
    fs::write(fleet.path("one.yml"), format!("init:\n  - {host}/test/one:1\n")).unwrap();
    fs::write(fleet.path("both.yml"), format!("init:\n  - {host}/test/one:1\n  - {host}/test/two:1\n")).unwrap();
    let digest = Digest::of(&blob).to_string();
    let wholes = || {
        let asked = fleet.shelf.server.asked(&digest);
        asked.iter().filter(|request| request.range().is_none()).count()
    };
    fleet.good("a", "inspect --arch amd64 --store index one.yml");
    assert_eq!(wholes(), 0);
    fleet.good("b", "inspect --arch amd64 --store index both.yml");
    assert_eq!(wholes(), 1, "what both have is read once by us");
}
