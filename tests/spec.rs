//! Specs as people write them, right and wrong: what is accepted, what is refused, and where.
//!
//! The larger part runs over a collection of specs beside the repository, when there is one.

use std::fs;
use std::path::{Path, PathBuf};

use lkit::spec::{self, Input};
use serde_json::Value;

/// Mistakes that only show when the images are looked at, or files of the host.
const NOT_OF_THE_SPEC: [&str; 18] = [
    "image-tag-not-found",
    "image-no-registry",
    "kernel-not-found",
    "kernel-no-kernel",
    "kernel-bad-binary",
    "kernel-symtar",
    "arch-missing",
    "volume-missing-platform",
    "volume-oci-single-image",
    "file-missing-source",
    "file-source-dir",
    "label-bad",
    "label-name",
    "label-broken",
    "corrupt-gzip",
    "corrupt-diff-id",
    "arch-index-missing",
    "digest-unknown",
];

fn golden() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/golden");
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("SKIPPED: the collection of specs is not at {}", path.display());
    None
}

fn input(name: &str, text: &[u8]) -> Input {
    Input { name: name.to_owned(), text: text.to_vec() }
}

/// What a parse says, in one text.
fn verdict(inputs: &[Input]) -> Result<spec::Parsed, String> {
    spec::parse(inputs).map_err(|error| {
        let lines = error.problems().iter().map(|p| format!("{}: {}", p.message, error.texts().excerpt(p.place)));
        lines.collect::<Vec<_>>().join("\n")
    })
}

#[test]
fn bad_specs_are_refused_and_odd_ones_accepted() {
    let Some(golden) = golden() else { return };
    let cases = fs::read_to_string(golden.join("cases-errors.jsonl")).unwrap();
    let mut wrong = Vec::new();
    for case in cases.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let (id, judgement) = (case["id"].as_str().unwrap(), case["lkit"].as_str().unwrap());
        let files = case["files"].as_object().unwrap();
        let inputs: Vec<_> = files.iter().map(|(name, text)| input(name, text.as_str().unwrap().as_bytes())).collect();
        let verdict = verdict(&inputs);
        if std::env::var_os("SHOW").is_some() {
            eprintln!("## {id} {judgement}\n{}", verdict.as_ref().map_or_else(String::clone, |_| "fine".to_owned()));
        }
        match (judgement, verdict) {
            ("must_fail", Ok(_)) if !NOT_OF_THE_SPEC.contains(&id) => wrong.push(format!("{id}: accepted")),
            ("must_work", Err(said)) => wrong.push(format!("{id}: refused: {said}")),
            ("must_fail", Err(said)) if !said.contains("-->") => wrong.push(format!("{id}: without a place: {said}")),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The specs of a case, in the order they merge.
fn case_inputs(case: &Path) -> Vec<Input> {
    let paths = ["spec.yml", "spec2.yml", "spec3.yml"].map(|name| case.join(name));
    paths.iter().filter_map(|path| Some(input(&path.display().to_string(), &fs::read(path).ok()?))).collect()
}

fn rows(path: PathBuf) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn cases(golden: &Path) -> Vec<PathBuf> {
    let folders = ["own", "repo"].map(|kind| fs::read_dir(golden.join("cases").join(kind)).unwrap());
    let mut cases: Vec<_> = folders.into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

#[test]
fn every_spec_of_the_collection_is_read() {
    let Some(golden) = golden() else { return };
    let mut wrong = Vec::new();
    for case in cases(&golden) {
        let agreed = rows(case.join("agreed.jsonl"));
        let must_fail = agreed.first().is_some_and(|row| row["header"]["lkit"] == "must_fail");
        match verdict(&case_inputs(&case)) {
            Ok(_) if must_fail => wrong.push(format!("{}: accepted", case.display())),
            Err(said) if !must_fail => wrong.push(format!("{}: {said}", case.display())),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A reference with its registry, as the collection expects it.
fn expanded(reference: &str) -> String {
    let first = reference.split('/').next().unwrap();
    match reference.matches('/').count() {
        0 => format!("docker.io/library/{reference}"),
        1 if !first.contains(['.', ':']) && first != "localhost" => format!("docker.io/{reference}"),
        _ => reference.to_owned(),
    }
}

#[test]
fn metadata_files_are_byte_for_byte_what_linuxkit_writes() {
    let Some(golden) = golden() else { return };
    let (mut wrong, mut count) = (Vec::new(), 0);
    for case in cases(&golden) {
        let Ok(parsed) = verdict(&case_inputs(&case)) else { continue };
        for row in rows(case.join("expected.jsonl")) {
            let (Some(path), Some(text)) = (row["path"].as_str(), row["text"].as_str()) else { continue };
            let file = parsed.spec.files.iter().rfind(|file| file.path.value == path);
            let Some(spec::FileContent::Metadata(format)) = file.map(|file| &file.content) else { continue };
            count += 1;
            let written = parsed.spec.to_text(*format, &|reference| match expanded(reference) {
                full if full.rsplit('/').next().unwrap().contains(':') => full,
                full => full + ":latest",
            });
            if written != text {
                wrong.push(format!("{}: {path}\n{written}", case.display()));
            }
        }
    }
    assert!(wrong.is_empty() && count > 8, "{count} files; {}", wrong.join("\n"));
}
