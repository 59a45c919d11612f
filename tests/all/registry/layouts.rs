//! Resolving without a network: layouts, names, platforms, closures, damage.

use std::fs;

use lkit::base::{ErrorKind, Fault as _, Platform, Silent};
use serde_json::json;

use super::{offline, reference, resolve, resolver, told};
use crate::common::layout::{LayoutMaker, digest_of};

#[test]
fn a_layout_finds_an_image_by_its_expanded_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut layout = LayoutMaker::new(&dir.path().join("layout"));
    let one = layout.image("amd64", &[b"one"]);
    let two = layout.image("amd64", &[b"two"]);
    let bare = layout.image("amd64", &[b"bare"]);
    layout.name("docker.io/library/nginx", &one);
    layout.name("nginx:latest", &two);
    layout.name("other", &bare);
    let resolver = resolver(&dir.path().join("cache"), &[&layout.dir], offline());
    let digest = |text: &str| resolve(&resolver, text).map(|image| *image.digest());
    assert_eq!(digest("nginx").unwrap(), digest_of(&one));
    assert_eq!(digest("nginx:latest").unwrap(), digest_of(&two));
    assert_eq!(digest("docker.io/library/nginx:latest").unwrap(), digest_of(&two));
    assert_eq!(digest(&format!("quay.io/any/name@{}", digest_of(&two))).unwrap(), digest_of(&two));
    for missing in ["nginx:1", "quay.io/library/nginx", "other", "library/other"] {
        let error = digest(missing).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ImageNotFound, "{missing}");
        assert!(told(&error).contains("it is in no layout and not in the cache"));
    }
}

#[test]
fn an_image_tells_what_its_manifest_and_config_say() {
    let dir = tempfile::tempdir().unwrap();
    let mut layout = LayoutMaker::new(&dir.path().join("layout"));
    let made = layout.image("amd64", &[b"lower", b"upper"]);
    layout.name("a/b:c", &made);
    let image = resolve(&resolver(&dir.path().join("cache"), &[&layout.dir], offline()), "a/b:c").unwrap();
    assert_eq!(image.reference.to_string(), "docker.io/a/b:c");
    assert_eq!((&image.config.cmd[..], &image.config.env[..]), (&["sh".to_owned()][..], &["A=b".to_owned()][..]));
    assert_eq!(*image.manifest_bytes, *fs::read(layout.path(&image.manifest.digest)).unwrap());
    assert_eq!(*image.config_bytes, *fs::read(layout.path(&image.config_digest)).unwrap());
    let layers: Vec<_> = image.layers.iter().map(|layer| (layer.digest, layer.size, layer.diff_id)).collect();
    let expected = [b"lower", b"upper"].map(|bytes| {
        let digest = lkit::base::Digest::of(bytes);
        (digest, 5, digest)
    });
    assert_eq!(layers, expected);
}

#[test]
fn a_missing_platform_is_an_error_that_lists_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let mut layout = LayoutMaker::new(&dir.path().join("layout"));
    let (amd64, arm64) = (layout.image("amd64", &[b"x"]), layout.image("arm64", &[b"y"]));
    let mut attestation = layout.image("unknown", &[b"z"]);
    attestation["platform"]["os"] = json!("unknown");
    let inner = layout.index(std::slice::from_ref(&arm64));
    let index = layout.index(&[attestation, inner, amd64.clone()]);
    layout.name("a/both", &index);
    layout.name("a/arm", &arm64);
    let resolver = resolver(&dir.path().join("cache"), &[&layout.dir], offline());
    let found = |name: &str, arch: &str| resolver.resolve(&reference(name), &Platform::linux(arch), &Silent);
    assert_eq!(*found("a/both", "amd64").unwrap().digest(), digest_of(&amd64));
    assert_eq!(*found("a/both", "arm64").unwrap().digest(), digest_of(&arm64));
    let error = found("a/both", "riscv64").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ImageNotFound);
    assert_eq!(
        told(&error),
        "cannot resolve image `docker.io/a/both`\nit is not made for `linux/riscv64`, only for `linux/amd64`, \
         `linux/arm64`\nchoose an architecture it is made for with `--arch`"
    );
    let error = found("a/arm", "amd64").unwrap_err();
    assert!(told(&error).contains("it is not made for `linux/amd64`, only for `linux/arm64`"), "{}", told(&error));
}

#[test]
fn indexes_that_lead_deeper_and_deeper_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut layout = LayoutMaker::new(&dir.path().join("layout"));
    let mut deep = layout.image("amd64", &[b"x"]);
    for _ in 0..20 {
        deep = layout.index(&[deep]);
    }
    layout.name("a/deep", &deep);
    let error = resolve(&resolver(&dir.path().join("cache"), &[&layout.dir], offline()), "a/deep").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[test]
fn damage_a_manifest_or_config_with_other_bytes_is_corrupt() {
    let dir = tempfile::tempdir().unwrap();
    for victim in ["manifest", "config"] {
        let mut layout = LayoutMaker::new(&dir.path().join(victim));
        let made = layout.image("amd64", &[b"x"]);
        layout.name("a/b", &made);
        let resolver = resolver(&dir.path().join("cache"), &[&layout.dir], offline());
        let image = resolve(&resolver, "a/b").unwrap();
        let path = layout.path(if victim == "manifest" { image.digest() } else { &image.config_digest });
        let mut bytes = fs::read(&path).unwrap();
        bytes[20] ^= 1;
        fs::write(&path, bytes).unwrap();
        let error = resolve(&resolver, "a/b").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{victim}: {}", told(&error));
        fs::write(&path, vec![b' '; 9 << 20]).unwrap();
        assert_eq!(resolve(&resolver, "a/b").unwrap_err().kind(), ErrorKind::Unsupported, "{victim} over the limit");
    }
}

#[test]
fn a_folder_that_is_no_layout_is_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let error = lkit::blob::Store::open(&dir.path().join("cache"), &[dir.path().join("none")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("is not an OCI image layout"), "{error}");
}

#[test]
fn a_single_image_is_no_closure_for_another_platform() {
    let dir = tempfile::tempdir().unwrap();
    let mut layout = LayoutMaker::new(&dir.path().join("layout"));
    let image = layout.image("arm64", &[b"layer"]);
    layout.name("docker.io/a/b:latest", &image);
    let resolver = resolver(&dir.path().join("cache"), &[&layout.dir], offline());
    let closure = |platforms: &[Platform]| resolver.closure(&reference("a/b"), platforms, &Silent);
    for platforms in [&[][..], &[Platform::linux("arm64")]] {
        assert_eq!(closure(platforms).unwrap().layers.len(), 1);
    }
    let error = closure(&[Platform::linux("arm64"), Platform::linux("amd64")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ImageNotFound, "{error}");
}

#[test]
fn a_closure_holds_each_blob_once_and_only_the_wanted_platforms() {
    let dir = tempfile::tempdir().unwrap();
    let mut layout = LayoutMaker::new(&dir.path().join("layout"));
    let (amd64, arm64) = (layout.image("amd64", &[b"shared"]), layout.image("arm64", &[b"shared", b"own"]));
    let index = layout.index(&[amd64.clone(), arm64.clone()]);
    layout.name("a/b", &index);
    let resolver = resolver(&dir.path().join("cache"), &[&layout.dir], offline());
    let closure = |platforms: &[Platform]| resolver.closure(&reference("a/b"), platforms, &Silent);
    let all = closure(&[]).unwrap();
    assert_eq!(all.root.digest, digest_of(&index));
    assert_eq!((all.documents.len(), all.layers.len()), (5, 2));
    for (descriptor, bytes) in &all.documents {
        assert_eq!(lkit::base::Digest::of(bytes), descriptor.digest);
    }
    let one = closure(&[Platform::linux("amd64")]).unwrap();
    let digests: Vec<_> = one.documents.iter().map(|(descriptor, _)| descriptor.digest).collect();
    assert_eq!(digests[..2], [digest_of(&index), digest_of(&amd64)]);
    assert_eq!((digests.len(), one.layers.len()), (3, 1));
    let error = closure(&[Platform::linux("amd64"), Platform::linux("s390x")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ImageNotFound);
}

#[test]
fn the_golden_layout_tells_a_name_with_latest_from_one_without() {
    let Some(golden) = crate::common::golden() else { return };
    let dir = tempfile::tempdir().unwrap();
    let resolver = resolver(dir.path(), &[&golden.join("images")], offline());
    let digest = |text: &str| resolve(&resolver, text).unwrap().digest().to_string();
    assert!(digest("busybox").starts_with("sha256:f6012fbe"));
    assert!(digest("busybox:latest").starts_with("sha256:ced63013"));
    let text = fs::read_to_string(golden.join("images/index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_str(&text).unwrap();
    for entry in index["manifests"].as_array().unwrap() {
        let name = entry["annotations"]["io.containerd.image.name"].as_str().unwrap();
        match resolve(&resolver, name) {
            Ok(image) => assert_eq!(image.layers.len(), image.config.diff_ids.len()),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ImageNotFound, "{name}: {}", told(&error)),
        }
    }
}
