//! Images in archives: what skopeo writes, what old versions of docker wrote, and what harms.

use std::fs::File;
use std::path::Path;

use lkit::base::{Digest, ErrorKind, Fault as _};
use lkit::blob::Store;
use lkit::extent::Source as _;
use serde_json::json;

use super::{offline, resolve, resolver, told};
use crate::common::layout::LayoutMaker;
use crate::common::{have, run};

/// A member of a tar: its name and what it holds; what begins with `->` makes it a link.
pub(super) type Member<'a> = (&'a str, &'a [u8]);

/// A tar of members.
pub(super) fn tar(path: &Path, members: &[Member<'_>]) {
    let mut tar = tar::Builder::new(File::create(path).unwrap());
    for (name, content) in members {
        let mut header = tar::Header::new_ustar();
        match content.strip_prefix(b"->") {
            Some(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                tar.append_link(&mut header, name, str::from_utf8(target).unwrap()).unwrap();
            }
            None => {
                header.set_size(content.len() as u64);
                tar.append_data(&mut header, name, *content).unwrap();
            }
        }
    }
    tar.finish().unwrap();
}

/// The digests and contents of an image's layers, read from the archive alone.
fn layers(cache: &Path, archive: &Path, name: &str) -> Vec<(Digest, Vec<u8>)> {
    let image =
        resolve(&resolver(cache, &[archive], offline()), name).unwrap_or_else(|error| panic!("{}", told(&error)));
    let store = Store::open(cache, &[archive.to_owned()]).unwrap();
    let content = |layer: &lkit::oci::Layer| {
        let blob = store.lookup(&layer.digest, layer.size).unwrap().unwrap();
        let mut bytes = vec![0; usize::try_from(blob.size()).unwrap()];
        blob.read_at(&mut bytes, 0).unwrap();
        (layer.diff_id, bytes)
    };
    image.layers.iter().map(content).collect()
}

#[test]
fn oracle_skopeo_an_archive_is_used_as_a_layout() {
    if !have(&["skopeo"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut layout = LayoutMaker::new(&dir.path().join("layout"));
    let tars = [[b"lower".as_slice(), &[0; 1019]].concat(), vec![0; 1024]];
    let image = layout.image("amd64", &[&tars[0], &tars[1]]);
    layout.name("q.io/a/b:c", &image);
    let from = format!("oci:{}:q.io/a/b:c", layout.dir.display());
    for (kind, name) in [("docker-archive", "q.io/a/b:c"), ("oci-archive", "q.io/a/b:c")] {
        let archive = dir.path().join(kind);
        run("skopeo", ["copy", "-q", &from, &format!("{kind}:{}:{name}", archive.display())]);
        let found = layers(&dir.path().join("cache"), &archive, name);
        let expected = tars.each_ref().map(|tar| Digest::of(tar));
        assert_eq!(found.iter().map(|(diff_id, _)| *diff_id).collect::<Vec<_>>(), expected, "{kind}");
        if kind == "docker-archive" {
            assert_eq!(found.into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>(), tars);
        }
    }
}

#[test]
fn an_archive_of_an_old_docker_has_each_layer_once_with_links_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a.tar");
    let diff_ids = [b"lower", b"upper", b"lower"].map(|layer| Digest::of(layer).to_string());
    let config = json!({"architecture": "amd64", "os": "linux", "rootfs": {"diff_ids": diff_ids}}).to_string();
    let manifest = json!([{"Config": "c.json", "RepoTags": ["a:1", "q.io/b"],
                           "Layers": ["1/layer.tar", "2/layer.tar", "3/layer.tar"]},
                          {"Config": "c.json", "RepoTags": null,
                           "Layers": ["1/layer.tar", "2/layer.tar", "3/layer.tar"]}]);
    let members: [Member<'_>; 6] = [
        ("1/VERSION", b"1.0"),
        ("1/layer.tar", b"lower"),
        ("2/layer.tar", b"upper"),
        ("3/layer.tar", b"->../1/layer.tar"),
        ("c.json", config.as_bytes()),
        ("manifest.json", manifest.to_string().into_bytes().leak()),
    ];
    tar(&archive, &members);
    for name in ["docker.io/library/a:1", "q.io/b"] {
        let found = layers(&dir.path().join("cache"), &archive, name);
        let expected = [b"lower", b"upper", b"lower"].map(|layer| (Digest::of(layer), layer.to_vec()));
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn an_archive_with_thousands_of_names_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a.tar");
    let names: Vec<String> = (0..3000).map(|at| format!("q.io/a:{at}")).collect();
    let image = json!({"Config": "c.json", "RepoTags": names, "Layers": []});
    let manifest = json!([image, image]).to_string();
    tar(&archive, &[("c.json", br#"{"rootfs": {"diff_ids": []}}"#), ("manifest.json", manifest.as_bytes())]);
    let error = Store::open(&dir.path().join("cache"), std::slice::from_ref(&archive)).unwrap_err().to_string();
    assert!(error.ends_with("`manifest.json`: it has 6000 names, over the limit of 4096"), "{error}");
}

#[test]
fn a_compressed_layer_of_a_saved_image_is_known_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a.tar");
    let (layer, diff_id) = (b"\x1f\x8b\x08 what gzip makes", Digest::of(b"lower"));
    let config = json!({"architecture": "amd64", "os": "linux", "rootfs": {"diff_ids": [diff_id.to_string()]}});
    let config = config.to_string();
    let saved = |name: &str| {
        let manifest = json!([{"Config": "c.json", "RepoTags": ["q.io/a:1"], "Layers": [name]}]).to_string();
        let members: [Member<'_>; 3] =
            [(name, layer), ("c.json", config.as_bytes()), ("manifest.json", manifest.as_bytes())];
        tar(&archive, &members);
    };
    let digest = Digest::of(layer);
    saved(&format!("{}.tar.gz", digest.hex()));
    let cache = dir.path().join("cache");
    assert_eq!(layers(&cache, &archive, "q.io/a:1"), [(diff_id, layer.to_vec())]);
    let image = resolve(&resolver(&cache, &[&archive], offline()), "q.io/a:1").unwrap();
    let expected = (digest, "application/vnd.oci.image.layer.v1.tar+gzip");
    assert_eq!((image.layers[0].digest, image.layers[0].media_type.as_str()), expected);
    saved("layer.tar");
    let error = Store::open(&cache, std::slice::from_ref(&archive)).unwrap_err().to_string();
    assert!(error.ends_with("`layer.tar` is compressed, and not named by its digest"), "{error}");
}

#[test]
fn damage_an_archive_without_images_says_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tar");
    let config = br#"{"rootfs":{"diff_ids":[]}}"#.as_slice();
    let many = format!("[{}]", vec![r#"{"Config":"c","Layers":[]}"#; 257].join(","));
    let rows: [(&[Member<'_>], &str); 9] = [
        (&[("x", b"")], "it has no member `oci-layout` or `manifest.json`"),
        (&[("oci-layout", b"{}")], "it does not say version 1"),
        (&[("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)], "it has no member `index.json`"),
        (&[("manifest.json", br#"[{"Config":"c","Layers":[]}]"#)], "`manifest.json` names `c`, which is not there"),
        (
            &[("manifest.json", br#"[{"Config":"c","Layers":["l"]}]"#), ("c", config)],
            "image config `c`: it has 0 diff ids for 1 layers",
        ),
        (
            &[
                ("manifest.json", br#"[{"Config":"c","Layers":["l"]}]"#),
                ("c", br#"{"rootfs":{"diff_ids":["sha256:x"]}}"#),
                ("l", b""),
            ],
            "image config `c`: ",
        ),
        (&[("manifest.json", many.as_bytes())], "it lists 257 images, over the limit of 256"),
        (&[("manifest.json", b"[")], "`manifest.json`: EOF while parsing"),
        (&[("manifest.json", b"->manifest.json")], "it has no member `oci-layout` or `manifest.json`"),
    ];
    let opened = |what: &str, says: &str| {
        let error = Store::open(&dir.path().join("cache"), std::slice::from_ref(&path)).unwrap_err();
        let said = error.to_string();
        assert!(said.contains(says) && error.kind() == ErrorKind::Io, "{what}: {said}");
        assert!(error.hint().unwrap().contains("docker save"), "{what}");
    };
    for (members, says) in rows {
        tar(&path, members);
        opened(says, says);
    }
    std::fs::write(&path, b"\x1f\x8b\x08 and more").unwrap();
    opened("compressed", "it is compressed, so nothing can be read where it lies; decompress it");
    std::fs::write(&path, "no tar at all").unwrap();
    opened("no tar", "it is no tar");
    tar(&path, &[("manifest.json", b"[]")]);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..513]).unwrap();
    opened("cut", "`manifest.json`: failed to fill whole buffer");
}
