//! Whatever a far registry does to whatever is asked for, at the first and at a later question: the right bytes come, or an
//! error that says why; and the cache is good afterwards.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::indexes::{DIGESTS, Fleet};
use super::system::{assert_says, can_mount};
use crate::common::scripted::{Answer, Request, Rest};
use crate::common::shelf::{Held, Lists};
use crate::common::stderr;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Manifest,
    Config,
    Summaries,
    Parts,
    Span,
}

/// What the registry does once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Cut,
    Nothing,
    Busy,
    Broken,
    OtherBytes,
    WholeForRange,
    OtherRange,
    Beyond,
    Gone,
    Denied,
}

const PARTS: [Part; 5] = [Part::Manifest, Part::Config, Part::Summaries, Part::Parts, Part::Span];
const FAULTS: [Fault; 10] = [
    Fault::Cut,
    Fault::Nothing,
    Fault::Busy,
    Fault::Broken,
    Fault::OtherBytes,
    Fault::WholeForRange,
    Fault::OtherRange,
    Fault::Beyond,
    Fault::Gone,
    Fault::Denied,
];

/// The fault that is due: what it befalls, and how many questions for that are answered well before.
type Due = Arc<Mutex<Option<(Part, Fault, usize)>>>;

/// What a question is for, and its right answer.
fn asked(request: &Request, held: &Held) -> Option<(Part, Vec<u8>)> {
    if request.method != "GET" {
        return None;
    }
    let path = request.path.strip_prefix("/v2/")?;
    if let Some((repository, name)) = path.split_once("/manifests/") {
        let (_, bytes) = held.manifests.get(&(repository.to_owned(), name.to_owned()))?;
        return Some((Part::Manifest, bytes.clone()));
    }
    let (repository, digest) = path.split_once("/blobs/")?;
    let bytes = held.blobs.get(&(repository.to_owned(), digest.to_owned()))?;
    let part = match &bytes[..2] {
        b"{\"" => Part::Config,
        b"lk" => Part::Summaries,
        [0x1f, 0x8b] => Part::Span,
        _ => Part::Parts,
    };
    Some((part, bytes.clone()))
}

fn befallen(fault: Fault, bytes: &[u8], request: &Request) -> Answer {
    let good = Answer::part_of(bytes, request);
    match fault {
        Fault::Cut => Answer { claims: Some(good.body.len()), body: good.body[..good.body.len() / 2].to_vec(), ..good },
        Fault::Nothing => Answer { claims: Some(good.body.len()), body: Vec::new(), rest: Rest::Nothing, ..good },
        Fault::Busy => Answer::new(429, "").header("Retry-After", "0"),
        Fault::Broken => Answer::new(503, ""),
        Fault::OtherBytes => Answer { body: good.body.iter().map(|byte| byte ^ 1).collect(), ..good },
        Fault::WholeForRange => Answer::new(200, bytes),
        Fault::OtherRange => good.header("Content-Range", format!("bytes 7-8/{}", bytes.len())),
        Fault::Beyond => Answer::new(416, ""),
        Fault::Gone => Answer::new(404, ""),
        Fault::Denied => Answer::new(401, ""),
    }
}

/// Whether a fault passes when the question is asked again, so that nobody hears of it.
fn passes(part: Part, fault: Fault) -> bool {
    let is_passing = matches!(fault, Fault::Cut | Fault::Nothing | Fault::Busy | Fault::Broken | Fault::WholeForRange);
    // What cannot be had of an index costs a pass, and bytes of a span are fetched once more before they are an error.
    let is_replaced = part == Part::Summaries || matches!(part, Part::Parts | Part::Span) && fault == Fault::OtherBytes;
    is_passing || is_replaced
}

#[test]
fn every_fault_at_every_moment_gives_the_right_bytes_or_the_right_error() {
    let due = Due::default();
    let script = due.clone();
    let fleet = Fleet::meddled(Lists::Pages(3), move |request, held| {
        let mut due = script.lock().unwrap();
        let (part, fault, after) = due.as_mut()?;
        let (found, bytes) = asked(request, held)?;
        if found != *part {
            return None;
        }
        if *after > 0 {
            *after -= 1;
            return None;
        }
        let answer = befallen(*fault, &bytes, request);
        *due = None;
        Some(answer)
    });
    let right = fleet.good("maker", DIGESTS);
    fleet.good("maker", "index push --arch amd64 a.yml");
    fleet.good("maker", "lock --arch amd64 a.yml");
    let mut number = 0;
    for part in PARTS {
        for fault in FAULTS {
            let later = usize::from(matches!(part, Part::Parts | Part::Span));
            for after in 0..=later {
                number += 1;
                let (machine, what) = (format!("m{number}"), format!("{part:?} {fault:?} after {after}"));
                let store = if number % 2 == 0 { "index" } else { "full" };
                let line = format!("{DIGESTS} --locked --store {store}");
                *due.lock().unwrap() = Some((part, fault, after));
                let output = fleet.output(&machine, &line);
                assert_eq!(*due.lock().unwrap(), None, "{what}: the fault has come");
                let said = stderr(&output);
                let is_right = output.status.success() && String::from_utf8_lossy(&output.stdout) == right;
                let is_told = matches!(output.status.code(), Some(1 | 4 | 5)) && said.contains("error: ");
                assert!(is_right || is_told && !said.contains("panicked"), "{what}: {said}");
                assert!(is_right || !passes(part, fault), "{what}: {said}");
                assert_eq!(fleet.good(&machine, &line), right, "{what}: afterwards");
                std::fs::remove_dir_all(fleet.path(&machine)).unwrap();
            }
        }
    }
}

#[test]
fn fuse_a_mount_comes_up_though_the_registry_of_its_kernel_is_gone() {
    if !can_mount() {
        return;
    }
    let gone = Arc::new(AtomicBool::new(false));
    let script = gone.clone();
    let meddle = move |_: &Request, _: &Held| script.load(Ordering::SeqCst).then(|| Answer::new(503, ""));
    let fleet = Fleet::meddled(Lists::Pages(3), meddle);
    std::fs::create_dir(fleet.path("mnt")).unwrap();
    fleet.good("machine", "mount --arch amd64 --store index a.yml mnt");
    fleet.good("machine", "umount mnt");
    gone.store(true, Ordering::SeqCst);
    fleet.good("machine", "mount --arch amd64 --store index --log log a.yml mnt");
    let names: Vec<_> = std::fs::read_dir(fleet.path("mnt")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.contains(&"kernel".into()) && names.contains(&"a-efi.img".into()), "{names:?}");
    fleet.good("machine", "umount mnt");
    let log = std::fs::read_to_string(fleet.path("log")).unwrap();
    assert_says(&log, &["the kernel cannot be read yet"]);
}
