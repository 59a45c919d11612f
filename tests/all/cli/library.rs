//! Systems loaded by another program than the command line.

use std::sync::Mutex;

use lkit::base::{ErrorKind, Event, Fault as _, Monitor, Silent};
use lkit::oci::Pull;
use lkit::spec;
use lkit::system::{Error, Input, Options, Origins, Problem, load};

use super::system::System;

/// A monitor that keeps what it hears.
#[derive(Default)]
struct Notes(Mutex<Vec<Event>>);

impl Monitor for Notes {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

fn text(text: &str) -> Input {
    Input::Text(spec::Input { name: "made.yml".to_owned(), text: text.as_bytes().to_vec() })
}

fn origins(system: &System) -> Origins {
    Origins { layouts: vec![system.path("layout")], pull: Pull::Never, ..Origins::new(system.cache()) }
}

fn refused(origins: &Origins, spec: &str) -> Error {
    load(&[text(spec)], origins, &Options::default(), &Silent).map(drop).unwrap_err()
}

#[test]
fn a_text_at_hand_becomes_a_system_and_what_is_odd_is_reported() {
    let system = System::new();
    let notes = Notes::default();
    let spec = text("kernel: {binary: x}\ninit:\n  - test/init:1\n  - test/init:1\n");
    let loaded = load(&[spec], &origins(&system), &Options::default(), &notes).unwrap();
    let names: Vec<_> = loaded.images.iter().map(|used| &used.name).collect();
    assert_eq!(names.len(), 1);
    assert_eq!((names[0].written.value.as_str(), names[0].written.place.line), ("test/init:1", 3));
    assert_eq!((names[0].reference.to_string().as_str(), names[0].pinned), ("docker.io/test/init:1", None));
    assert_eq!(loaded.catalog.name(), "linuxkit");
    assert!(loaded.catalog.system().tree.find(b"etc/motd").is_some());
    let message = "`kernel` names no `image`, so there will be no kernel".to_owned();
    let excerpt = "  --> made.yml:1:18\n   |\n 1 | kernel: {binary: x}\n   |                  ^\n".to_owned();
    assert!(notes.0.into_inner().unwrap().contains(&Event::SpecWarning { message, excerpt }));
}

#[test]
fn a_digest_in_a_name_pins_what_it_means() {
    let system = System::new();
    let loaded = load(&[text("init: [test/init:1]")], &origins(&system), &Options::default(), &Silent).unwrap();
    let digest = loaded.images[0].image.root;
    let spec = text(&format!("init: ['test/init@{digest}']"));
    let pinned = load(&[spec], &origins(&system), &Options::default(), &Silent).unwrap();
    assert_eq!((pinned.images[0].name.pinned, pinned.images[0].image.root), (Some(digest), digest));
}

#[test]
fn what_is_wrong_is_told_by_its_problem_and_its_places() {
    let system = System::new();
    let here = origins(&system);
    let error = refused(&here, "init:\n  - test/init:1\n  - test/init:2\n");
    assert!(matches!(error.problem(), Problem::Resolve { name, locked: None, .. } if name == "test/init:2"));
    assert_eq!(error.kind(), ErrorKind::ImageNotFound);
    assert_eq!(error.places().iter().map(|place| (place.line, place.column)).collect::<Vec<_>>(), [(3, 5)]);
    let error = refused(&here, "init: [1]\nbogus: 2\n");
    assert!(matches!(error.problem(), Problem::Spec(_)), "{error:?}");
    assert_eq!(error.places().iter().map(|place| place.line).collect::<Vec<_>>(), [1, 2]);
    let locked = Origins { locked: true, ..here };
    let error = refused(&locked, "init: [test/init:1]");
    assert!(matches!(error.problem(), Problem::NoPlaceForLock), "{error:?}");
    assert_eq!((error.kind(), error.places().len()), (ErrorKind::Usage, 0));
}
