//! Every golden case and every bad spec, where they lie beside the repository: what the real linuxkit builds.

use std::process::Command;

use crate::common;

/// Renames LinuxKit's file names to the ones the comparer looks for.
const WRAPPER: &str = r#"#!/bin/sh
lkit=$1 cache=$2 images=$3 out=$4
shift 4
"$lkit" build -f kernel+initrd --layout "$images" --cache "$cache" --offline --name x --dir "$out" "$@" || exit
for part in kernel initrd.img cmdline; do
    [ ! -e "$out/x-$part" ] || mv "$out/x-$part" "$out/$part"
done
"#;

#[test]
fn oracle_linuxkit_agrees_on_every_golden_case() {
    let Some(golden) = common::golden() else { return };
    if !common::have(&["python3"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let wrapper = dir.path().join("build");
    common::install_script(WRAPPER, &wrapper);
    let output = Command::new("python3")
        .args(["run.py", "cases", "--errors", "cases-errors.jsonl", "--"])
        .args([wrapper.as_os_str(), env!("CARGO_BIN_EXE_lkit").as_ref(), dir.path().join("cache").as_os_str()])
        .args(["{images}", "{out}", "{specs}"])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(golden)
        .output()
        .unwrap();
    let text = common::stdout("run.py", &output);
    let ok: u32 = text.split_whitespace().next().unwrap().parse().unwrap();
    assert!(ok >= 220, "too few cases ran: {text}");
}
