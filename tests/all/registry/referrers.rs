//! What refers to a manifest: lists of registries that keep them, and the tag where they do not.

use std::sync::Arc;

use lkit::base::{Digest, ErrorKind, Event, Fault as _, Silent};
use lkit::extent::Bytes;
use lkit::oci::{Descriptor, Options, Pusher, Resolver};
use serde_json::{Value, json};

use super::pushes::MANIFEST;
use super::{Notes, offline, reference, resolver};
use crate::common::registry::{DockerRegistry, Door};
use crate::common::scripted::{Answer, Scripted};
use crate::common::shelf::{Held, Lists, Shelf};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const TYPE: &str = "application/vnd.example.thing";

fn online() -> (tempfile::TempDir, Resolver) {
    let dir = tempfile::tempdir().unwrap();
    let resolver = resolver(&dir.path().join("cache"), &[], Options::default());
    (dir, resolver)
}

/// An artifact about `subject`; those with other notes are other artifacts.
fn artifact(subject: &Digest, artifact_type: &str, note: &str) -> String {
    let empty = json!({"mediaType": "application/vnd.oci.empty.v1+json", "size": 2,
                       "digest": Digest::of(b"{}").to_string()});
    json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": artifact_type, "config": empty, "layers": [],
           "subject": {"mediaType": MANIFEST, "size": 7, "digest": subject.to_string()},
           "annotations": {"note": note}})
    .to_string()
}

/// How a list names an artifact.
fn entry(artifact: &str) -> Descriptor {
    let parsed: Value = serde_json::from_str(artifact).unwrap();
    let mut entry = Descriptor::new(MANIFEST, Digest::of(artifact.as_bytes()), artifact.len() as u64);
    entry.artifact_type = parsed["artifactType"].as_str().map(str::to_owned);
    entry.annotations = Some([("note".to_owned(), parsed["annotations"]["note"].as_str().unwrap().to_owned())].into());
    entry
}

fn push_all(pusher: &Pusher, artifacts: &[String]) {
    let empty = Descriptor::new("application/vnd.oci.empty.v1+json", Digest::of(b"{}"), 2);
    pusher.blob(&empty, Arc::new(Bytes(b"{}".as_slice().into())), &Silent).unwrap();
    for artifact in artifacts {
        let digest = pusher.manifest(artifact.as_bytes(), MANIFEST, None).unwrap();
        assert_eq!(digest, Digest::of(artifact.as_bytes()));
    }
}

fn sorted(mut entries: Vec<Descriptor>) -> Vec<Descriptor> {
    entries.sort_by_key(|entry| entry.digest);
    entries
}

/// Warnings of a look for referrers of the type, and what it found.
fn looked_up(resolver: &Resolver, image: &str, subject: &Digest) -> (Vec<Descriptor>, Vec<String>) {
    let notes = Notes::default();
    let found = resolver.referrers(&reference(image), subject, TYPE, &notes).unwrap();
    let warnings = notes.0.into_inner().unwrap().into_iter();
    let warnings = warnings.map(|event| if let Event::Warning(text) = event { text } else { panic!("{event:?}") });
    (found, warnings.collect())
}

#[test]
fn referrers_are_found_by_type_with_and_without_lists_of_the_registry() {
    let (dir, resolver) = online();
    let docker = DockerRegistry::start(&dir.path().join("registry"), Door::Open);
    let shelves = [Lists::Pages(100), Lists::Pages(2), Lists::Not].map(Shelf::start);
    let hosts = shelves.iter().map(|shelf| shelf.server.host.clone()).chain(docker.iter().map(DockerRegistry::host));
    let subject = Digest::of(b"subject");
    for host in hosts {
        let image = format!("{host}/a/b:1");
        assert_eq!(looked_up(&resolver, &image, &subject), (Vec::new(), Vec::new()), "{host}");
        let wanted = [1, 2, 3].map(|number| artifact(&subject, TYPE, &number.to_string()));
        let others = [artifact(&subject, "other", "x"), artifact(&Digest::of(b"else"), TYPE, "x")];
        let pusher = resolver.pusher(&reference(&image), None).unwrap();
        push_all(&pusher, &[&others[..1], &wanted, &others[1..], &wanted[..1]].concat());
        let (found, warnings) = looked_up(&resolver, &image, &subject);
        assert_eq!(sorted(found), sorted(wanted.iter().map(|text| entry(text)).collect()), "{host}");
        assert!(warnings.is_empty(), "{warnings:?}");
    }
    assert_eq!(shelves[0].asked("GET").iter().filter(|path| path.contains("sha256-")).count(), 0);
    let offline = super::resolver(&dir.path().join("b"), &[], offline());
    let image = reference(&format!("{}/a/b:1", shelves[0].server.host));
    assert_eq!(offline.referrers(&image, &subject, TYPE, &Silent).unwrap(), Vec::new());
}

#[test]
fn the_fallback_tag_keeps_what_others_put_there() {
    let (_dir, resolver) = online();
    let shelf = Shelf::start(Lists::Not);
    let subject = Digest::of(b"subject");
    let tag = format!("sha256-{}", subject.hex());
    let theirs =
        json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [{"digest": "sha512:00", "x": 1}], "y": 2});
    shelf.held().keep("a", &tag, INDEX, theirs.to_string().as_bytes());
    let ours = artifact(&subject, TYPE, "n");
    push_all(
        &resolver.pusher(&reference(&format!("{}/a", shelf.server.host)), None).unwrap(),
        std::slice::from_ref(&ours),
    );
    let mut expected = theirs;
    expected["manifests"].as_array_mut().unwrap().push(serde_json::to_value(entry(&ours)).unwrap());
    let held = shelf.held();
    let (media_type, bytes) = &held.manifests[&("a".to_owned(), tag)];
    assert_eq!((media_type.as_str(), String::from_utf8_lossy(bytes).as_ref()), (INDEX, expected.to_string().as_str()));
}

/// A registry where somebody else puts another list in the place of ours after each of the first `times`.
fn contested(times: usize, subject: Digest) -> Shelf {
    let tag = format!("sha256-{}", subject.hex());
    Shelf::meddled(Lists::Not, move |request, before, held: &mut Held| {
        let is_ours = request.method == "PUT" && request.path.ends_with(&tag);
        // Each round asks the same path with GET once or twice.
        let round = before / 2;
        if !is_ours || round >= times {
            return None;
        }
        let theirs = json!({"schemaVersion": 2, "mediaType": INDEX,
                            "manifests": [entry(&artifact(&subject, TYPE, &format!("other {round}")))]});
        held.keep("a", &tag, INDEX, theirs.to_string().as_bytes());
        Some(Answer::new(201, ""))
    })
}

#[test]
fn a_list_that_somebody_else_changed_meanwhile_is_changed_again() {
    let (_dir, resolver) = online();
    let subject = Digest::of(b"subject");
    let ours = artifact(&subject, TYPE, "ours");
    let shelf = contested(2, subject);
    let image = format!("{}/a", shelf.server.host);
    push_all(&resolver.pusher(&reference(&image), None).unwrap(), std::slice::from_ref(&ours));
    let (found, _) = looked_up(&resolver, &image, &subject);
    assert!(found.contains(&entry(&ours)) && found.len() == 2, "{found:?}");

    let shelf = contested(usize::MAX, subject);
    let pusher = resolver.pusher(&reference(&format!("{}/a", shelf.server.host)), None).unwrap();
    let error = pusher.manifest(ours.as_bytes(), MANIFEST, None).unwrap_err();
    assert_eq!((error.kind(), error.hint().as_deref()), (ErrorKind::Denied, Some("try again")));
    assert!(error.problem.to_string().ends_with("others change it again and again"), "{}", error.problem);
}

#[test]
fn what_is_no_list_is_left_alone_and_lists_nothing() {
    let (_dir, resolver) = online();
    let subject = Digest::of(b"subject");
    let tag = format!("sha256-{}", subject.hex());
    let shelf = Shelf::start(Lists::Not);
    let image = format!("{}/a", shelf.server.host);
    for other in [r#"{"schemaVersion":2,"config":{},"layers":[]}"#, "<html>"] {
        shelf.held().keep("a", &tag, MANIFEST, other.as_bytes());
        let pusher = resolver.pusher(&reference(&image), None).unwrap();
        let error = pusher.manifest(artifact(&subject, TYPE, "n").as_bytes(), MANIFEST, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{}", error.problem);
        assert_eq!(shelf.held().manifests[&("a".to_owned(), tag.clone())].1, other.as_bytes());
        let (found, warnings) = looked_up(&resolver, &image, &subject);
        assert!(found.is_empty() && warnings.len() == 1, "{warnings:?}");
    }
}

#[test]
fn an_odd_answer_lists_nothing_and_is_told() {
    let (_dir, resolver) = online();
    let subject = Digest::of(b"subject");
    let rows = [
        (Answer::new(200, "<html>log in</html>"), "no image index"),
        (Answer::new(200, "{}"), "no image index"),
        (Answer::new(403, ""), "refused access: 403 Forbidden"),
        (Answer::new(400, ""), "answered: 400 Bad Request"),
        (Answer::new(200, "").claiming(9 << 20), "over the limit of"),
    ];
    for (answer, says) in rows {
        let server = Scripted::start(move |_, _| answer.clone());
        let (found, warnings) = looked_up(&resolver, &format!("{}/a", server.host), &subject);
        assert!(found.is_empty() && warnings.len() == 1 && warnings[0].contains(says), "{says}: {warnings:?}");
    }
    let dead = format!("127.0.0.1:{}/a", crate::common::registry::free_port());
    let error = resolver.referrers(&reference(&dead), &subject, TYPE, &Silent).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
}

#[test]
fn a_list_without_end_is_bounded_and_one_elsewhere_is_not_followed() {
    let (_dir, resolver) = online();
    let subject = Digest::of(b"subject");
    let page = json!({"schemaVersion": 2, "manifests": vec![entry(&artifact(&subject, TYPE, "n")); 10]}).to_string();
    let text = page.clone();
    let endless = Scripted::start(move |_, before| {
        Answer::new(200, text.clone()).header("Link", format!("<?n={before}>; rel=\"next\""))
    });
    let (found, warnings) = looked_up(&resolver, &format!("{}/a", endless.host), &subject);
    assert_eq!((found.len(), endless.asked("referrers").len()), (160, 16));
    assert!(warnings[0].contains("lists over 16 pages about"), "{warnings:?}");

    let other = Scripted::start(|_, _| Answer::new(200, ""));
    let elsewhere = format!("<http://{}/x>; rel=\"next\"", other.host);
    let server = Scripted::start(move |_, _| Answer::new(200, page.clone()).header("Link", elsewhere.clone()));
    let (found, warnings) = looked_up(&resolver, &format!("{}/a", server.host), &subject);
    assert_eq!((found.len(), other.asked("/x").len()), (10, 0));
    assert!(warnings.len() == 1 && warnings[0].contains("goes on at another server"), "{warnings:?}");
}

#[test]
fn the_first_mirror_that_answers_is_believed_and_nothing_is_pushed_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let subject = Digest::of(b"subject");
    let (mirror, shelf) = (Shelf::start(Lists::Pages(9)), Shelf::start(Lists::Pages(9)));
    let dead = format!("127.0.0.1:{}", crate::common::registry::free_port());
    let mirrors =
        [&dead, &mirror.server.host].map(|host| format!("{}=http://{host}", shelf.server.host).parse().unwrap());
    let resolver = resolver(&dir.path().join("cache"), &[], Options { mirrors: mirrors.into(), ..Options::default() });
    let image = format!("{}/a", shelf.server.host);
    let ours = artifact(&subject, TYPE, "n");
    push_all(&resolver.pusher(&reference(&image), None).unwrap(), std::slice::from_ref(&ours));
    assert!(mirror.held().manifests.is_empty() && !shelf.held().manifests.is_empty());
    mirror.held().keep("a", "x", MANIFEST, ours.as_bytes());
    let (found, warnings) = looked_up(&resolver, &image, &subject);
    assert_eq!(found, [entry(&ours)]);
    assert!(warnings.len() == 1 && warnings[0].contains("is passed over: cannot reach registry"), "{warnings:?}");
    mirror.held().manifests.clear();
    assert_eq!(looked_up(&resolver, &image, &subject).0, []);
    assert_eq!(shelf.asked("GET"), [""; 0]);
}
