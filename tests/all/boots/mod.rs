//! Every medium boots out of the mount of a spec, by emulation: nothing is copied out of it.
//!
//! The whole suite boots a few that stand for the rest. `tools/boots` boots all: it sets `LKIT_BOOTS` to `all`, or to
//! words that the name of each has. The guest checks its files, and tells its firmware and the type of its root.

mod behind_network;
mod far;
mod media;
mod network;
mod system;

use std::io::Write as _;
use std::time::Instant;

use media::{MEDIA, Medium};
use network::{NET_BOOTS, NetBoot};
use system::{Mounts, can_mount};

use crate::common;
use crate::common::qemu::{Firmware, tail, try_boot};

/// Variable that chooses: nothing for a few, `all`, or words.
const CHOICE: &str = "LKIT_BOOTS";

/// Whether something that has this name is chosen.
fn is_chosen(name: &str, stands_for_others: bool) -> bool {
    match &*std::env::var(CHOICE).unwrap_or_default() {
        "" => stands_for_others,
        "all" => true,
        words => words.split_whitespace().all(|word| name.contains(word)),
    }
}

/// Says something at once, also where the harness keeps what tests say to itself.
fn say(text: &str) {
    std::io::stderr().write_all(text.as_bytes()).unwrap();
}

/// The verdict of a guest with this console, which is to be `wanted`, or what went wrong.
fn judged(console: &str, wanted: &str) -> Result<String, String> {
    let mut lines = console.lines();
    let verdict = lines.find_map(|line| line.trim().strip_prefix("verdict: ")).map(str::to_owned);
    match verdict {
        Some(verdict) if verdict == wanted => Ok(verdict),
        other => Err(format!("wanted `{wanted}`, and there was {other:?} in\n{}", tail(console))),
    }
}

fn boots(medium: &Medium, mounts: &Mounts) -> Result<String, String> {
    let arguments = medium.arguments(mounts);
    let console = match medium.by_lkit() {
        true => mounts.run(&arguments)?,
        false => try_boot(medium.firmware, mounts.scratch(), arguments)?,
    };
    judged(&console, medium.verdict)
}

fn boots_over_the_network(boot: &NetBoot, mounts: &Mounts) -> Result<String, String> {
    judged(&boot.run(mounts)?, boot.verdict)
}

/// Boots one after another, and says how each went; those that failed.
fn all_of(names: &[&str], boot: impl Fn(usize) -> Result<String, String>) -> Vec<String> {
    let mut failed = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let begin = Instant::now();
        let result = boot(at);
        let told = result.as_deref().unwrap_or("FAILED");
        say(&format!("boots: {name:34} {:3} s  {told}\n", begin.elapsed().as_secs()));
        failed.extend(result.err().map(|error| format!("{name}: {error}")));
    }
    failed
}

#[test]
fn boot_media_out_of_the_mount() {
    let Some(images) = common::example_images() else { return };
    let firmware = [Firmware::Bios, Firmware::Uefi, Firmware::Arm64, Firmware::Arm64Uefi, Firmware::Arm64UBoot];
    if !can_mount() || !common::have(NetBoot::TOOLS) || !firmware.into_iter().all(Firmware::available) {
        return;
    }
    let Some(mounts) = Mounts::new(&images) else { return };
    let media: Vec<&Medium> = MEDIA.iter().filter(|medium| is_chosen(medium.name, medium.stands_for_others)).collect();
    let net: Vec<&NetBoot> = NET_BOOTS.iter().filter(|boot| is_chosen(boot.name, boot.stands_for_others)).collect();
    let (chosen, all) = (media.len() + net.len(), MEDIA.len() + NET_BOOTS.len());
    say(&format!("boots: {chosen} of {all} media; `tools/boots` boots all of them\n"));
    let names: Vec<&str> = media.iter().map(|medium| medium.name).collect();
    let mut failed = all_of(&names, |at| boots(media[at], &mounts));
    let names: Vec<&str> = net.iter().map(|boot| boot.name).collect();
    failed.extend(all_of(&names, |at| boots_over_the_network(net[at], &mounts)));
    assert!(chosen > 0, "{CHOICE} chooses nothing");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
