//! Every medium boots out of the mount of a spec, by emulation: nothing is copied out of it.
//!
//! The whole suite boots a few that stand for the rest. `tools/boots` boots all: it sets `LKIT_BOOTS` to `all`, or to
//! words that the name of each has. The guest checks its files, and tells its firmware and the type of its root.

mod far;
mod media;
mod system;

use std::io::Write as _;
use std::time::Instant;

use media::{MEDIA, Medium};
use system::{Mounts, can_mount};

use crate::common;
use crate::common::qemu::{Firmware, tail, try_boot};

/// Variable that chooses: nothing for a few, `all`, or words.
const CHOICE: &str = "LKIT_BOOTS";

fn chosen() -> Vec<&'static Medium> {
    let choice = std::env::var(CHOICE).unwrap_or_default();
    let is_chosen = |medium: &Medium| match &*choice {
        "" => medium.stands_for_others,
        "all" => true,
        words => words.split_whitespace().all(|word| medium.name.contains(word)),
    };
    MEDIA.iter().filter(|medium| is_chosen(medium)).collect()
}

/// Says something at once, also where the harness keeps what tests say to itself.
fn say(text: &str) {
    std::io::stderr().write_all(text.as_bytes()).unwrap();
}

/// The guest's verdict, or what went wrong.
fn boots(medium: &Medium, mounts: &Mounts) -> Result<String, String> {
    let arguments = medium.arguments(mounts);
    let console = match medium.by_lkit() {
        true => mounts.run(&arguments)?,
        false => try_boot(medium.firmware, mounts.scratch(), arguments)?,
    };
    let mut lines = console.lines();
    let verdict = lines.find_map(|line| line.trim().strip_prefix("verdict: ")).map(str::to_owned);
    match verdict {
        Some(verdict) if verdict == medium.verdict => Ok(verdict),
        other => Err(format!("wanted `{}`, and there was {other:?} in\n{}", medium.verdict, tail(&console))),
    }
}

#[test]
fn boot_media_out_of_the_mount() {
    let Some(images) = common::example_images() else { return };
    let firmware = [Firmware::Bios, Firmware::Uefi, Firmware::Arm64, Firmware::Arm64Uefi];
    if !can_mount() || !firmware.into_iter().all(Firmware::available) {
        return;
    }
    let Some(mounts) = Mounts::new(&images) else { return };
    let (chosen, mut failed) = (chosen(), Vec::new());
    say(&format!("boots: {} of {} media; `tools/boots` boots all of them\n", chosen.len(), MEDIA.len()));
    for medium in &chosen {
        let begin = Instant::now();
        let result = boots(medium, &mounts);
        let told = result.as_deref().unwrap_or("FAILED");
        say(&format!("boots: {:34} {:3} s  {told}\n", medium.name, begin.elapsed().as_secs()));
        failed.extend(result.err().map(|error| format!("{}: {error}", medium.name)));
    }
    assert!(!chosen.is_empty(), "{CHOICE} chooses nothing");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
