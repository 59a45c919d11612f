//! A real docker-registry with images that skopeo put there.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use lkit::base::{Digest, ErrorKind, Event, Fault as _, Platform, Silent};
use lkit::blob::{self, Store};
use lkit::extent::Source as _;
use lkit::oci::{CredentialPlace, Credentials, Descriptor, Options, Pull};

use super::{Notes, offline, reference, resolve, resolver, told};
use crate::common::layout::{LayoutMaker, digest_of};
use crate::common::registry::{DockerRegistry, Door, free_port};
use crate::common::run;

/// Bytes of a blob of many reads.
const MEDIUM: usize = 300_000;
/// Bytes of a blob too large for the buffers between registry and reader.
const LARGE: usize = 48 << 20;

/// A registry with an image for two platforms, as `test/image:1`; its second layer has `size` bytes.
fn furnished(dir: &Path, door: Door, size: usize) -> Option<(DockerRegistry, LayoutMaker)> {
    let registry = DockerRegistry::start(&dir.join("registry"), door)?;
    let mut layout = LayoutMaker::new(&dir.join("layout"));
    let large: Vec<u8> = (0..size).map(|at| (at / 4096 % 251) as u8).collect();
    let index = layout.index(&[layout.image("amd64", &[b"small", &large]), layout.image("arm64", &[b"other"])]);
    layout.name("image", &index);
    registry.push(&layout.dir, "image", "test/image:1");
    Some((registry, layout))
}

fn large_of(image: &lkit::oci::Image) -> Descriptor {
    let layer = &image.layers[1];
    Descriptor::new(&layer.media_type, layer.digest, layer.size)
}

fn digest_of_stream(mut stream: impl std::io::Read) -> std::io::Result<Digest> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    Ok(Digest::of(&bytes))
}

#[test]
fn a_tag_is_resolved_once_and_then_found_in_the_cache() {
    let dir = tempfile::tempdir().unwrap();
    let Some((mut registry, _)) = furnished(dir.path(), Door::Open, MEDIUM) else { return };
    let name = format!("{}/test/image:1", registry.host());
    let cache = dir.path().join("cache");
    let here = resolver(&cache, &[], Options::default());
    let first = resolve(&here, &name).unwrap();
    let layers = first.layers.iter().map(|layer| layer.digest);
    for digest in layers {
        assert!(!cache.join("blobs/sha256").join(digest.hex()).exists(), "no layer is fetched to resolve");
    }
    registry.kill();
    assert_eq!(resolve(&here, &name).unwrap(), first);
    assert_eq!(resolve(&resolver(&cache, &[], offline()), &name).unwrap(), first);
    let by_digest = format!("{}/test/image@{}", registry.host(), first.digest());
    assert_eq!(resolve(&here, &by_digest).unwrap().digest(), first.digest());

    let asking = resolver(&cache, &[], Options { pull: Pull::Always, ..Options::default() });
    let error = resolve(&asking, &name).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    let expected = format!("\ncannot reach registry `{}`\nConnection refused (os error 111)\n", registry.host());
    assert!(told(&error).contains(&expected), "{}", told(&error));
    let arm = here.resolve(&reference(&name), &Platform::linux("arm64"), &Silent).unwrap_err();
    assert_eq!(arm.kind(), ErrorKind::Unreachable, "the cached image index leads to a manifest that is not here");
}

#[test]
fn pull_takes_a_moved_tag_and_the_cache_keeps_one_name() {
    let dir = tempfile::tempdir().unwrap();
    let Some((registry, mut layout)) = furnished(dir.path(), Door::Open, MEDIUM) else { return };
    let name = format!("{}/test/image:1", registry.host());
    let cache = dir.path().join("cache");
    let old = resolve(&resolver(&cache, &[], Options::default()), &name).unwrap();
    let moved = layout.image("amd64", &[b"moved"]);
    layout.name("moved", &moved);
    registry.push(&layout.dir, "moved", "test/image:1");
    assert_eq!(resolve(&resolver(&cache, &[], Options::default()), &name).unwrap(), old);
    let pull = Options { pull: Pull::Always, ..Options::default() };
    assert_eq!(*resolve(&resolver(&cache, &[], pull), &name).unwrap().digest(), digest_of(&moved));
    let store = Store::open(&cache, &[]).unwrap();
    let entries = store.entries().unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!((entries[0].descriptor.digest, &entries[0].names), (digest_of(&moved), &vec![name.clone(), name]));
}

#[test]
fn a_blob_comes_whole_or_in_ranges() {
    let dir = tempfile::tempdir().unwrap();
    let Some((registry, layout)) = furnished(dir.path(), Door::Open, MEDIUM) else { return };
    let name = format!("{}/test/image:1", registry.host());
    let store = std::sync::Arc::new(Store::open(&dir.path().join("cache"), &[]).unwrap());
    let resolver = lkit::oci::Resolver::new(store.clone(), Options::default());
    let image = resolve(&resolver, &name).unwrap();
    let fetch = resolver.fetcher(&image.reference);
    let wanted = large_of(&image);
    let whole = fs::read(layout.path(&wanted.digest)).unwrap();
    for (start, end) in [(0, 1), (4096, 9000), (wanted.size - 1, wanted.size), (7, 7)] {
        let mut bytes = Vec::new();
        fetch.fetch(&wanted.digest, start..end).unwrap().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, whole[start as usize..end as usize], "{start}..{end}");
    }
    let blob = store.obtain(&wanted, &*fetch).unwrap();
    assert_eq!(blob.size(), wanted.size);
    assert_eq!(digest_of_stream(blob.reader()).unwrap(), wanted.digest);
    let missing = fetch.fetch(&Digest::of(b"missing"), 0..3).err().unwrap();
    assert_eq!(missing.kind(), ErrorKind::ImageNotFound);
}

#[test]
fn a_registry_that_is_killed_and_comes_back_costs_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let Some((mut registry, _)) = furnished(dir.path(), Door::Open, LARGE) else { return };
    let here = resolver(&dir.path().join("cache"), &[], Options::default());
    let image = resolve(&here, &format!("{}/test/image:1", registry.host())).unwrap();
    let wanted = large_of(&image);
    let mut stream = here.fetcher(&image.reference).fetch(&wanted.digest, 0..wanted.size).unwrap();
    let mut bytes = vec![0; 1 << 20];
    stream.read_exact(&mut bytes).unwrap();
    registry.restart();
    stream.read_to_end(&mut bytes).unwrap();
    assert_eq!(Digest::of(&bytes), wanted.digest);
}

#[test]
fn a_registry_that_is_killed_for_good_leaves_no_half_blob() {
    let dir = tempfile::tempdir().unwrap();
    let Some((mut registry, _)) = furnished(dir.path(), Door::Open, LARGE) else { return };
    let cache = dir.path().join("cache");
    let here = resolver(&cache, &[], Options::default());
    let image = resolve(&here, &format!("{}/test/image:1", registry.host())).unwrap();
    let wanted = large_of(&image);
    let store = Store::open(&cache, &[]).unwrap();
    let fetch = here.fetcher(&image.reference);
    let stream = fetch.fetch(&wanted.digest, 0..wanted.size).unwrap();
    registry.kill();
    let error = digest_of_stream(stream).unwrap_err();
    let error = blob::Error::from_stream(&wanted.digest, error);
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert_eq!(store.obtain(&wanted, &*fetch).unwrap_err().kind(), ErrorKind::Unreachable);
    assert!(store.lookup(&wanted.digest, wanted.size).unwrap().is_none());
    assert_eq!(fs::read_dir(cache.join("lkit/tmp")).unwrap().count(), 0);
}

#[test]
fn a_locked_registry_opens_to_what_docker_login_left() {
    let dir = tempfile::tempdir().unwrap();
    let Some((registry, _)) = furnished(dir.path(), Door::Locked, MEDIUM) else { return };
    let name = format!("{}/test/image:1", registry.host());
    let with = |credentials| Options { credentials, ..Options::default() };
    // user:secret and user:wrong
    let rows = [(None, false), (Some("dXNlcjpzZWNyZXQ="), true), (Some("dXNlcjp3cm9uZw=="), false)];
    for (number, (auth, opens)) in rows.into_iter().enumerate() {
        let credentials = auth.map_or(Credentials::default(), |auth| {
            let path = dir.path().join("config.json");
            fs::write(&path, format!(r#"{{"auths":{{"{}":{{"auth":"{auth}"}}}}}}"#, registry.host())).unwrap();
            Credentials::of(vec![CredentialPlace::File(path)])
        });
        let here = resolver(&dir.path().join(number.to_string()), &[], with(credentials));
        match resolve(&here, &name) {
            Ok(image) => {
                assert!(opens);
                let wanted = large_of(&image);
                let stream = here.fetcher(&image.reference).fetch(&wanted.digest, 0..wanted.size).unwrap();
                assert_eq!(digest_of_stream(stream).unwrap(), wanted.digest);
            }
            Err(error) => {
                assert!(!opens, "{}", told(&error));
                assert_eq!(error.kind(), ErrorKind::Denied);
                let expected = format!("`docker login {}`", registry.host());
                assert!(told(&error).contains("401 Unauthorized") && told(&error).contains(&expected));
            }
        }
    }
}

#[test]
fn mirrors_are_asked_before_the_registry_and_stand_in_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let Some((registry, layout)) = furnished(dir.path(), Door::Open, MEDIUM) else { return };
    registry.push(&layout.dir, "image", "library/nginx:1");
    let mirror = |text: String| text.parse::<lkit::oci::Mirror>().unwrap();
    let dead = mirror(format!("docker.io=http://127.0.0.1:{}", free_port()));
    let mirrors = vec![dead.clone(), mirror(format!("http://{}", registry.host()))];
    let here = resolver(&dir.path().join("a"), &[], Options { mirrors, ..Options::default() });
    let notes = Notes::default();
    let image = here.resolve(&reference("nginx:1"), &Platform::linux("amd64"), &notes).unwrap();
    let stream = here.fetcher(&image.reference).fetch(&image.layers[0].digest, 0..5).unwrap();
    assert_eq!(digest_of_stream(stream).unwrap(), Digest::of(b"small"));
    let notes = notes.0.into_inner().unwrap();
    assert!(notes.iter().any(|event| matches!(event, Event::Warning(text) if text.contains("mirror of `docker.io`"))));
    let entries = Store::open(&dir.path().join("a"), &[]).unwrap().entries().unwrap();
    assert_eq!(entries[0].names[0], "docker.io/library/nginx:1");

    // A mirror that does not have the image is no reason to give up.
    let Some(empty) = DockerRegistry::start(&dir.path().join("empty"), Door::Open) else { return };
    let mirrors = vec![mirror(format!("{}=http://{}", registry.host(), empty.host()))];
    let here = resolver(&dir.path().join("b"), &[], Options { mirrors, ..Options::default() });
    resolve(&here, &format!("{}/test/image:1", registry.host())).unwrap();
}

#[test]
fn an_unknown_tag_or_repository_is_told_with_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let Some((registry, _)) = furnished(dir.path(), Door::Open, MEDIUM) else { return };
    let host = registry.host();
    let here = resolver(&dir.path().join("cache"), &[], Options::default());
    for (name, wanted) in [("test/image:2", "test/image:2"), ("no/such", "no/such:latest")] {
        let error = resolve(&here, &format!("{host}/{name}")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ImageNotFound);
        assert_eq!(
            told(&error),
            format!(
                "cannot resolve image `{host}/{name}`\nregistry `{host}` has no `{wanted}`\ncheck the name and the tag"
            )
        );
    }
    let digest = Digest::of(b"missing");
    assert_eq!(resolve(&here, &format!("{host}/test/image@{digest}")).unwrap_err().kind(), ErrorKind::ImageNotFound);
}

#[test]
fn oracle_skopeo_reads_the_cache() {
    let dir = tempfile::tempdir().unwrap();
    let Some((registry, _)) = furnished(dir.path(), Door::Open, MEDIUM) else { return };
    let name = format!("{}/test/image:1", registry.host());
    let cache = dir.path().join("cache");
    let store = std::sync::Arc::new(Store::open(&cache, &[]).unwrap());
    let resolver = lkit::oci::Resolver::new(store.clone(), Options::default());
    let image = resolve(&resolver, &name).unwrap();
    let inspected = run(
        "skopeo",
        ["inspect", "--override-arch=amd64", "--override-os=linux", &format!("oci:{}:{name}", cache.display())],
    );
    let inspected: serde_json::Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!(inspected["Layers"][1], image.layers[1].digest.to_string());

    // With its layers it is a layout like any other, for skopeo and for lkit.
    let fetch = resolver.fetcher(&image.reference);
    for layer in image.layers.iter() {
        store.obtain(&Descriptor::new(&layer.media_type, layer.digest, layer.size), &*fetch).unwrap();
    }
    let copy = format!("dir:{}", dir.path().join("copy").display());
    let source = format!("oci:{}:{name}", cache.display());
    run("skopeo", ["copy", "-q", "--override-arch=amd64", "--override-os=linux", &source, &copy]);
    let layout = super::resolver(&dir.path().join("second"), &[&cache], offline());
    assert_eq!(resolve(&layout, &name).unwrap(), image);
}

#[test]
fn many_references_are_resolved_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let Some((registry, mut layout)) = furnished(dir.path(), Door::Open, MEDIUM) else { return };
    for number in 0..8 {
        let image = layout.image("amd64", &[format!("layer {number}").as_bytes()]);
        layout.name(&format!("n{number}"), &image);
        registry.push(&layout.dir, &format!("n{number}"), &format!("many/{number}:1"));
    }
    let cache = dir.path().join("cache");
    let here = resolver(&cache, &[], Options::default());
    std::thread::scope(|scope| {
        for number in 0..16 {
            let (here, host) = (&here, registry.host());
            scope.spawn(move || resolve(here, &format!("{host}/many/{}:1", number % 8)).unwrap());
        }
    });
    assert_eq!(Store::open(&cache, &[]).unwrap().entries().unwrap().len(), 8, "no name is lost to another's change");
}
