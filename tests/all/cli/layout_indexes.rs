//! Layer indexes that lie in an OCI layout, beside the images that they are of.

use std::fs;

use serde_json::Value;

use super::indexes::text;
use super::system::{SPEC, System, assert_says, image, refused, tar};
use crate::common::{have, stderr, stdout};

const DIGESTS: &str = "build --arch amd64 -f kernel+initrd --digest a.yml";

/// Runs the program with an empty cache of this name; what it prints and says.
fn with_cache(system: &System, cache: &str, line: &str) -> (String, String) {
    let output = system.command(line).arg("--cache").arg(system.path(cache)).output().unwrap();
    (stdout(line, &output), stderr(&output))
}

/// The number of layer indexes that were made in a cache.
fn made(system: &System, cache: &str) -> usize {
    fs::read_dir(system.path(cache).join("lkit/index")).map_or(0, Iterator::count)
}

fn index_json(system: &System) -> Value {
    serde_json::from_slice(&fs::read(system.path("layout/index.json")).unwrap()).unwrap()
}

#[test]
fn indexes_in_a_layout_save_others_the_pass_where_they_are_trusted() {
    let system = System::new();
    let right = system.good(DIGESTS);
    let before = index_json(&system)["manifests"].as_array().unwrap().clone();
    let pushed = system.good("index push --offline --layout layout --arch amd64 --to oci:layout --json a.yml");
    let pushed: Value = serde_json::from_str(&pushed).unwrap();
    assert_eq!((pushed[0]["layout"].as_str(), pushed.as_array().unwrap().len()), (Some("layout"), 2));
    system.good("index push --offline --layout layout --arch amd64 --to oci:layout a.yml");
    let after = index_json(&system)["manifests"].as_array().unwrap().clone();
    assert_eq!((&after[..before.len()], after.len()), (&before[..], before.len() + 2), "twice is as once");
    assert_eq!(after[2]["artifactType"], "application/vnd.lkit.index.v1");

    assert_eq!(with_cache(&system, "trusting", &format!("{DIGESTS} --trust-indexes beside")).0, right);
    assert_eq!(made(&system, "trusting"), 0, "no pass was made");
    assert_eq!(with_cache(&system, "careful", DIGESTS).0, right);
    assert_eq!(made(&system, "careful"), 4, "each layer, and the tar in the kernel's, got a pass");

    let (listed, _) = with_cache(&system, "trusting", "index ls --offline --layout layout --arch amd64 a.yml");
    assert_says(&listed, &["test/kernel:1: ", &format!("`oci:layout@{}`", pushed[1]["digest"].as_str().unwrap())]);
    with_cache(&system, "pulling", "index pull --offline --layout layout --arch amd64 a.yml");
    assert_eq!(with_cache(&system, "pulling", DIGESTS).0, right);
    assert_eq!(made(&system, "pulling"), 0, "what was pulled is trusted");
}

#[test]
fn oracle_skopeo_still_reads_the_images_of_a_layout_with_indexes() {
    if !have(&["skopeo"]) {
        return;
    }
    let system = System::new();
    system.good("index push --offline --layout layout --arch amd64 --to oci:layout a.yml");
    let copy = ["copy", "--quiet", "oci:layout:docker.io/test/init:1", "dir:copy"];
    let output = std::process::Command::new("skopeo").args(copy).current_dir(system.dir.path()).output().unwrap();
    stdout("skopeo copy", &output);
    assert!(system.path("copy/manifest.json").is_file());
}

#[test]
fn a_damaged_index_in_a_layout_costs_a_pass_or_is_an_error_and_never_other_bytes() {
    let mut system = System::new();
    // Parts that are too long to travel with their summary.
    let words = image(&system.layout, &[&tar(&[("usr/share/words", &text(6 << 20))])]);
    system.layout.name("docker.io/test/words:1", &words);
    system.write("a.yml", format!("{SPEC}  - test/words:1\n"));
    let right = system.good(DIGESTS);
    system.good("index push --offline --layout layout --arch amd64 --to oci:layout a.yml");
    let entry = index_json(&system)["manifests"][5]["digest"].as_str().unwrap().to_owned();
    let blob = |digest: &str| system.path("layout/blobs").join(digest.replace(':', "/"));
    let manifest: Value = serde_json::from_slice(&fs::read(blob(&entry)).unwrap()).unwrap();
    let damaged = |layer: &str, cache: &str| {
        let path = blob(manifest.pointer(layer).unwrap().as_str().unwrap());
        let whole = fs::read(&path).unwrap();
        fs::write(&path, vec![b'x'; whole.len()]).unwrap();
        let mut command = system.command(&format!("{DIGESTS} --trust-indexes beside"));
        let output = command.arg("--cache").arg(system.path(cache)).output().unwrap();
        fs::write(&path, whole).unwrap();
        output
    };
    let summaries = damaged("/layers/0/digest", "summaries");
    assert_eq!(stdout("damaged summaries", &summaries), right);
    assert_says(&stderr(&summaries), &["the published layer indexes of `docker.io/test/words:1` are passed over"]);
    let said = refused("damaged parts", &damaged("/layers/1/digest", "parts"), 5);
    assert_says(&said, &["its index was damaged since it was opened"]);
}

#[test]
fn what_is_no_folder_of_a_layout_is_told_and_left_as_it_is() {
    let system = System::new();
    let push = |target: &str| format!("index push --offline --layout layout --arch amd64 --to {target} a.yml");
    assert_says(&system.bad(&push("oci:nowhere"), 1), &["`nowhere`"]);
    fs::create_dir(system.path("empty")).unwrap();
    assert_says(&system.bad(&push("oci:empty"), 1), &["is not an OCI image layout", "oci-layout"]);
    assert_eq!(fs::read_dir(system.path("empty")).unwrap().count(), 0);
    let said = system.bad("index push --offline --layout layout --arch amd64 --to oci:layout --soci v1 a.yml", 2);
    assert_says(&said, &["--soci", "registries alone"]);
    let tar = system.path("layout.tar");
    let mut made = std::process::Command::new("tar");
    made.arg("-C").arg(system.path("layout")).arg("-cf").arg(&tar).arg(".");
    assert!(made.status().unwrap().success());
    assert_says(&system.bad(&push("oci:layout.tar"), 1), &["it is an archive, and nothing can be added to it"]);
}
