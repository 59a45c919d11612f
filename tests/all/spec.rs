//! Specs as people write them, right and wrong: what is accepted, what is refused, and where.
//!
//! The larger part runs over a collection of specs beside the repository, when there is one.

use std::fs;
use std::path::{Path, PathBuf};

use lkit::base::Fault as _;
use lkit::spec::{self, Input};
use serde_json::Value;

use crate::common::golden;

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

fn one(text: &str) -> Result<spec::Parsed, String> {
    verdict(&[input("a.yml", text.as_bytes())])
}

/// Message, line and column of every problem.
fn told(text: &str) -> Vec<(String, u32, u32)> {
    let Err(error) = spec::parse(&[input("a.yml", text.as_bytes())]) else { return Vec::new() };
    error.problems().iter().map(|p| (p.message.clone(), p.place.line, p.place.column)).collect()
}

#[test]
fn independent_problems_are_told_in_one_go() {
    let text = "\
kernel: {image: k, cmdlne: x}
services:
  - name: a
    image: x
    capabilities: [CAP_NET_ADMN]
    binds: ['vol:/x', '/y']
    uid: nobody
  - {name: a, image: x, readonly: 'yes'}
volumes: [{name: V}]
files:
  - {path: ../x, contents: y, mode: '9'}
";
    let expected = [
        ("unknown key `cmdlne`", 1, 20),
        ("unknown capability `CAP_NET_ADMN`", 5, 20),
        ("no volume is named `vol`", 6, 13),
        ("bind `/y` has no destination; write `source:destination`", 6, 23),
        ("no container is named `nobody`", 7, 10),
        ("service `a` is there twice; the first is on line 3", 8, 12),
        ("expected `true` or `false`, found a string", 8, 35),
        ("`V` cannot name a volume", 9, 18),
        ("path `../x` climbs with `..`", 11, 12),
        ("`9` is not a mode; write octal digits such as `\"0644\"`", 11, 37),
    ];
    assert_eq!(told(text), expected.map(|(message, line, column)| (message.to_owned(), line, column)));
}

#[test]
fn a_limit_out_of_range_is_told_once() {
    let text = "services: [{name: s, image: x, resources: {network: {classID: 4294967296}, pids: {limit: x}}}]";
    let found: Vec<String> = told(text).into_iter().map(|(message, ..)| message).collect();
    assert_eq!(found, ["4294967296 is out of range", "expected an integer, found a string"]);
}

#[test]
fn a_broken_section_does_not_blame_those_that_refer_to_it() {
    let rows = [
        ("volumes: {a: b}\n", "expected a list of mappings, found a mapping"),
        ("volumes: [{name: 1}]\n", "expected a string, found the integer `1`"),
        ("volums: [{name: v}]\n", "unknown key `volums`"),
    ];
    for (section, message) in rows {
        let text = format!("{section}services: [{{name: s, image: x, binds: ['v:/v'], uid: other}}]\n");
        let told: Vec<_> = told(&text).into_iter().map(|(message, ..)| message).collect();
        assert_eq!(told, [message], "{section}");
    }
}

#[test]
fn names_of_containers_become_directories() {
    for (name, message) in [
        ("''", "the name of a container is empty"),
        ("..", "`..` cannot name a container"),
        ("a/b", "the name of a container cannot hold `/`: `a/b`"),
        ("\"a\\nb\"", "the name of a container cannot hold control characters"),
    ] {
        let text = format!("onboot: [{{name: {name}, image: x}}]");
        assert_eq!(told(&text), [(message.to_owned(), 1, 17)], "{name}");
    }
    assert!(one("onboot: [{name: a b, image: x}, {name: a b, image: x}]").is_ok());
}

#[test]
fn a_file_is_one_thing_at_one_path() {
    for (file, message) in [
        ("{contents: x}", "a file has no `path`"),
        ("{path: '', contents: x}", "a file has an empty `path`"),
        ("{path: //, directory: true}", "path `//` is the root itself"),
        ("{path: a/../b, contents: x}", "path `a/../b` climbs with `..`"),
        ("{path: a}", "nothing says what the file holds"),
        ("{path: a, symlink: b, contents: ''}", "a file has both `symlink` and `contents`"),
        ("{path: a, source: b, metadata: yaml}", "a file has both `source` and `metadata`"),
        ("{path: a, metadata: xml}", "unknown metadata format `xml`"),
        ("{path: a, contents: x, mode: '0200644'}", "`0200644` is not a mode; write octal digits such as `\"0644\"`"),
        ("{path: a, contents: x}, {path: a/b, contents: y}", "`a` is a file, so it cannot hold `a/b`"),
    ] {
        let told: Vec<_> = told(&format!("files: [{file}]")).into_iter().map(|(message, ..)| message).collect();
        assert_eq!(told, [message], "{file}");
    }
    let parsed = one("files: [{path: //a//./b/, directory: true, symlink: x}, {path: e, contents: ''}]").unwrap();
    let paths: Vec<_> = parsed.spec.files.iter().map(|file| file.path.value.as_str()).collect();
    assert_eq!(paths, ["a/b", "e"]);
    let contents = [spec::FileContent::Directory, spec::FileContent::Contents(Vec::new())];
    assert_eq!(parsed.spec.files.iter().map(|file| file.content.clone()).collect::<Vec<_>>(), contents);
}

#[test]
fn a_mode_may_come_with_the_file_type_that_stat_shows() {
    let mode = |text: &str| {
        let spec = one(&format!("files: [{{path: a, contents: x, mode: \"{text}\"}}]")).map(|parsed| parsed.spec);
        spec.ok().and_then(|spec| spec.files[0].mode)
    };
    for (text, bits) in [("0644", 0o644), ("100644", 0o644), ("0106755", 0o6755), ("40755", 0o755), ("+7", 7)] {
        assert_eq!(mode(text), Some(bits), "{text}");
    }
    for text in ["1000000", "0o644", "8", "-1", "0644 "] {
        assert_eq!(mode(text), None, "{text}");
    }
}

#[test]
fn several_texts_merge_in_order() {
    let texts = [
        "kernel: {image: k1, cmdline: one, tar: none}\ninit: [a]\nvolumes: [{name: v}]",
        "# nothing",
        "kernel: {cmdline: two, binary: b, tar: ''}\ninit: [b]\nservices: [{name: s, image: x, binds: ['v:/v']}]",
    ];
    let inputs: Vec<_> = texts.iter().map(|text| input("x.yml", text.as_bytes())).collect();
    let spec = verdict(&inputs).unwrap().spec;
    let kernel = spec.kernel.unwrap();
    let tar = kernel.tar.map(|tar| tar.value);
    assert_eq!((kernel.image.value.as_str(), kernel.cmdline.as_str(), tar.as_deref()), ("k1", "two", Some("")));
    assert_eq!(spec.init.iter().map(|image| image.value.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn a_spec_that_makes_nothing_is_refused() {
    for text in ["", "# nothing", "~", "{}", "services:", "kernel: {}", "kernel: {cmdline: x}"] {
        assert_eq!(told(text), [("the spec is empty".to_owned(), 1, 1)], "{text:?}");
    }
    let parsed = one("kernel: {cmdline: x, tar: none}\ninit: [a]").unwrap();
    assert_eq!((parsed.spec.kernel, parsed.warnings.len()), (None, 1));
}

#[test]
fn packages_are_named_by_their_directory() {
    let text = "kernel: {image: '@pkg:../kernel'}\ninit: ['@pkg:./init', '@pkg:./init', other]\n";
    let mut asked = Vec::new();
    let parsed = spec::parse_with(&[input("a.yml", text.as_bytes())], &mut |spec, directory| {
        asked.push(format!("{spec} {directory}"));
        Ok(format!("docker.io/linuxkit/{}:1", directory.trim_matches(['.', '/'])))
    });
    let spec = parsed.unwrap().spec;
    assert_eq!(asked, ["a.yml ../kernel", "a.yml ./init"]);
    assert_eq!(spec.kernel.as_ref().unwrap().image.value, "docker.io/linuxkit/kernel:1");
    assert_eq!(spec.init[1].value, "docker.io/linuxkit/init:1");
    assert!(spec.to_text(spec::MetadataFormat::Yaml, &str::to_owned).contains("- docker.io/linuxkit/init:1\n"));
    let refused = "cannot resolve `@pkg:../kernel`: packages are only looked up for specs in files";
    assert_eq!(told(text)[0], (refused.to_owned(), 1, 17));
}

#[test]
fn labels_are_read_in_yaml_and_json() {
    let json = "{\n\t\"capabilities\": [\"all\"],\n\t\"binds\": [\"/a:/b\"], \"oomScoreAdj\": -999\n}\n";
    let options = spec::parse_label(json).unwrap();
    assert_eq!((options.capabilities.unwrap()[0].value.as_str(), options.oom_score_adj), ("all", Some(-999)));
    assert_eq!(spec::parse_label("net: new\nreadonly: true").unwrap().readonly, Some(true));
    for nothing in ["", "{}", "name: ''\nimage: ''"] {
        assert_eq!(spec::parse_label(nothing).unwrap(), spec::ContainerOptions::default(), "{nothing}");
    }
    let deep = format!("{{\"a\":{}", "[".repeat(100_000));
    for (text, message) in [
        ("{\"name\": \"x\"}", "a label cannot set `name`"),
        ("{\"bogus\": 1}", "unknown key `bogus`"),
        ("[]", "expected a mapping, found a list"),
        ("{\"binds\": [\"x\"]}", "bind `x` has no destination; write `source:destination`"),
        ("{\"a\": ", "the `{` that begins here is never closed"),
        (&deep, "values are nested too deep"),
        ("a: \0", "a spec cannot hold the control character U+0000"),
    ] {
        let error = spec::parse_label(text).unwrap_err();
        assert!(error.problems()[0].message.starts_with(message), "{error}");
    }
}

#[test]
fn regression_a_lone_carriage_return_ends_a_line() {
    let Err(error) = spec::parse(&[input("a.yml", b"init: [a]\rbogus: 1\r\nother: 2\n")]) else { panic!("no error") };
    let shown: Vec<String> = error.problems().iter().map(|problem| error.texts().excerpt(problem.place)).collect();
    assert!(shown[0].contains("a.yml:2:1\n") && shown[0].contains("\n 2 | bogus: 1\n   | ^^^^^"), "{}", shown[0]);
    assert!(shown[1].contains("\n 3 | other: 2\n   | ^^^^^"), "{}", shown[1]);
}

/// Texts made from `text` by cutting, doubling and swapping parts of it, and putting in what YAML reads otherwise.
fn mangled(text: &str, rng: &mut u64) -> Vec<u8> {
    let mut next = |below: usize| {
        *rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(*rng >> 33).unwrap() % below.max(1)
    };
    let parts =
        ["{", "]", ": ", "- ", "&a ", "*a", "<<: ", "!!binary ", "|2\n", "\"", "'", "\t", "\n---\n", "? ", "\0", "~"];
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=next(3) {
        let (at, len) = (next(bytes.len()), next(12));
        let end = (at + len).min(bytes.len());
        match next(5) {
            0 => drop(bytes.drain(at..end)),
            1 => drop(bytes.splice(at..at, parts[next(parts.len())].bytes())),
            2 => bytes.truncate(at),
            3 => bytes.extend_from_within(at..end),
            _ => bytes[at..end].reverse(),
        }
    }
    bytes
}

#[test]
fn prop_a_mangled_spec_is_read_or_refused_with_a_place() {
    let rich = r#"kernel: {image: "a/k:1", cmdline: "c d", tar: none, ucode: u}
init: ["a/i:1", 'b/i@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855']
onboot:
  - &one {name: one, image: a/b, binds: ["/a:/b:ro", "v:/v"], capabilities.add: [CAP_CHOWN], uid: two, rlimits: ["nofile,1,2"]}
services:
  - <<: *one
    name: two
    mounts: [{type: tmpfs, destination: /t, options: [size=1m]}]
    devices: [{path: /dev/x, type: c, major: 0x5, minor: 1, mode: "0666"}]
    resources: {memory: {limit: 10}, blockio: {weightDevice: [{major: 8, minor: 0, weight: 5}]}}
    runtime: {mkdir: [/a], interfaces: [{name: e, add: veth, peer: p}], bindNS: {net: /run/n}}
volumes: [{name: v, image: a/v, format: oci, platforms: [linux/arm64]}]
files:
  - {path: a/b, contents: "x\u00e9", mode: "0600", gid: one}
  - path: c
    contents: |-
      several
       lines
"#;
    let mut rng = 7;
    for _ in 0..3000 {
        let text = mangled(rich, &mut rng);
        let Err(error) = spec::parse(&[input("a.yml", &text)]) else { continue };
        let excerpt = |problem: &spec::Problem| error.texts().excerpt(problem.place);
        let lost = error.problems().iter().find(|problem| !excerpt(problem).contains("a.yml:"));
        assert_eq!(lost, None, "{}", String::from_utf8_lossy(&text));
    }
}

#[test]
fn hostile_texts_are_refused_in_little_time_and_memory() {
    let large = |part: &str| part.repeat(((16 << 20) - 100) / part.len());
    let mapping: String = (0..900_000).map(|n| format!("k{n}: 1\n")).collect();
    let texts = [
        ("nested lists", large("[")),
        ("nested entries", large("- ")),
        ("nested mappings", large("{a: ")),
        ("many items", large("- a\n")),
        ("many flow items", format!("[{}", large("a,"))),
        ("many keys", mapping),
        ("one long text", format!("kernel: {{cmdline: \"{}", large("x"))),
        ("one long key", large("k")),
        ("anchors", (0..1_000_000).map(|n| format!("- &a{n} x\n")).collect()),
        ("tags", large("- !<x> y\n")),
        ("quotes", large("'")),
        ("comments", format!("{}a: 1", large("# x\n"))),
        ("spaces", large(" ")),
        ("lines", large("\n")),
        ("documents", large("---\n")),
        ("questions", large("? ")),
        ("merges", format!("a: &a {{b: 1}}\nc: {{{}}}", "<<: *a, ".repeat(1_000_000))),
    ];
    for (name, text) in texts {
        let start = std::time::Instant::now();
        let told = told(&text);
        eprintln!("{name}: {:?}, {} problems, {:?}", start.elapsed(), told.len(), told.first());
        assert!(!told.is_empty(), "{name}");
    }
}

/// What is printed of a spec that is not valid.
fn printed(name: &str, text: &[u8]) -> String {
    let Err(error) = spec::parse(&[input(name, text)]) else { return "nothing is wrong\n".to_owned() };
    let hint = error.hint().map(|hint| format!("\nhint: {hint}\n"));
    format!("error: {error}\n{}{}", error.excerpt().unwrap_or_default(), hint.unwrap_or_default())
}

/// Each spec of `tests/all/mistakes` with what is printed of it. To write these again after a change: `UPDATE=1`.
#[test]
fn each_mistake_is_shown_where_it_is() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/mistakes");
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut specs: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|e| e == "yml")).collect();
    specs.sort();
    assert!(specs.len() > 60, "{} specs", specs.len());
    let mut wrong = Vec::new();
    for spec in specs {
        let shown = printed("a.yml", &fs::read(&spec).unwrap());
        let expected = spec.with_extension("txt");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected, &shown).unwrap();
        } else if fs::read_to_string(&expected).ok().as_ref() != Some(&shown) {
            wrong.push(format!("{}:\n{shown}", spec.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn outputs_of_2017_are_taken_with_a_warning_for_each_key_that_pushes() {
    let keys = "project: p, bucket: b, family: f, keys: k, public: true, replace: true";
    let parsed = one(&format!("init: [a]\noutputs:\n- {{format: gcp, {keys}}}\n")).unwrap();
    assert_eq!(parsed.spec.outputs[0].value, "gcp");
    let said: Vec<(u32, &str)> = parsed.warnings.iter().map(|p| (p.place.column, p.message.as_str())).collect();
    assert_eq!(said[0], (17, "`project` of `outputs` has no effect"));
    assert_eq!((said.len(), said[5].1), (6, "`replace` of `outputs` has no effect"));
}

#[test]
fn a_value_of_another_type_is_one_mistake() {
    for (field, found) in [
        ("contents: 123", "expected a string, found the integer `123`"),
        ("source: [a]", "expected a string, found a list"),
        ("directory: x", "expected `true` or `false`, found a string"),
    ] {
        let told = told(&format!("files: [{{path: a, {field}}}]"));
        assert_eq!(told.iter().map(|(message, ..)| message.as_str()).collect::<Vec<_>>(), [found], "{field}");
    }
}
