//! README's table and these tests speak of the same deviations.

use std::collections::BTreeSet;

/// The numbers of README's lines, such as `05`.
fn lines() -> Vec<String> {
    let readme = std::fs::read_to_string(crate::common::root().join("README.md")).unwrap();
    let section = readme.split("## Differences from linuxkit").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| D")?.split(" |").next());
    rows.map(|number| format!("{number:0>2}")).collect()
}

/// The numbers of the tests in this folder.
fn tests() -> Vec<String> {
    let folder = crate::common::root().join("tests/all/deviations");
    let texts = std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
    let all: Vec<String> = texts.collect();
    let names = all.iter().flat_map(|text| text.split("#[test]\nfn d").skip(1));
    names.filter_map(|name| Some(name.split_once('_')?.0.to_owned())).collect()
}

#[test]
fn every_line_of_readme_has_its_test_and_every_test_its_line() {
    let (lines, tests) = (lines(), tests());
    let sets: [BTreeSet<&String>; 2] = [&lines, &tests].map(|list| list.iter().collect());
    assert_eq!(sets[0], sets[1], "lines of README against tests");
    assert_eq!((lines.len(), tests.len()), (sets[0].len(), sets[1].len()), "a number is there twice");
    assert!(lines.is_sorted(), "{lines:?}");
    assert!(lines.len() >= 18);
}
