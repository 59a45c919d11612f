//! House rules that a machine can check and clippy does not: layering, file length, module docs, ignored tests.

use std::fs;
use std::path::{Path, PathBuf};

/// Modules from the bottom up. A module imports only from rows above it in this list; siblings do not know each other.
const ROWS: [&[&str]; 11] = [
    &["base"],
    &["extent", "sbom", "spec"],
    &["blob"],
    &["oci"],
    &["layer"],
    &["tree"],
    &["rootfs", "format", "boot"],
    &["output"],
    &["push", "serve", "system", "vm"],
    &["cli"],
    &["fuzz"],
];

/// The same for the rooms of `layer`.
const LAYER_ROWS: [&[&str]; 9] = [
    &["error", "reads"],
    &["index"],
    &["engine"],
    &["gunzip", "pass", "read"],
    &["foreign"],
    &["layers"],
    &["activity", "imported", "nested", "prefetch", "published", "stored"],
    &["unpacked"],
    &["fuzz"],
];

/// Longest file, in lines.
const LONGEST_FILE: usize = 600;

/// A line of a file, for a complaint.
struct Line<'a> {
    place: String,
    text: &'a str,
}

fn rust_files(dir: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(dir)];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().display().to_string()
}

/// The text above the inline tests.
fn code(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod tests {").next().unwrap()
}

/// Lines that are no comments.
fn lines<'a>(path: &Path, text: &'a str) -> impl Iterator<Item = Line<'a>> {
    let path = shown(path);
    let code = text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
    code.map(move |(number, text)| Line { place: format!("{path}:{}", number + 1), text })
}

/// The modules that a line names behind `prefix`, such as `crate::`.
fn imported<'a>(line: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    line.split(prefix).skip(1).map(|part| &part[..part.find(|c| !matches!(c, 'a'..='z' | '_')).unwrap_or(part.len())])
}

/// Imports below `dir`, a folder of modules, that do not point down the table `rows`.
fn imports_that_point_up(dir: &str, prefix: &str, rows: &[&[&str]]) -> Vec<String> {
    let row = |module: &str| rows.iter().position(|row| row.contains(&module));
    let mut wrong = Vec::new();
    for path in rust_files(dir) {
        let inside = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join(dir)).unwrap();
        let module = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if ["lib", "main", "mod"].contains(&module) {
            continue;
        }
        let here = row(module).unwrap_or_else(|| panic!("`{module}` has no row in the table"));
        let text = fs::read_to_string(&path).unwrap();
        // Beside the folder's own file, `super::` names a module of the table as well.
        let prefixes = [prefix, "super::"];
        let prefixes = if inside.iter().count() == 1 { &prefixes[..] } else { &prefixes[..1] };
        for line in lines(&path, code(&text)) {
            for name in prefixes.iter().flat_map(|prefix| imported(line.text, prefix)) {
                let is_module = !name.is_empty() && name != module;
                if is_module && row(name).is_none_or(|row| row >= here) {
                    wrong.push(format!("{}: `{module}` imports `{name}`", line.place));
                }
            }
        }
    }
    wrong
}

#[test]
fn imports_point_down_the_table() {
    let mut wrong = imports_that_point_up("src", "crate::", &ROWS);
    wrong.extend(imports_that_point_up("src/layer", "crate::layer::", &LAYER_ROWS));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Folders whose files import each other in no circle, also through the names that their `mod.rs` passes on.
const WITHOUT_CIRCLES: [&str; 24] = [
    "base",
    "boot",
    "extent",
    "format",
    "format/erofs",
    "format/fat",
    "format/iso9660",
    "format/squashfs",
    "layer/engine",
    "layer/index",
    "layer/pass",
    "layer/read",
    "serve/compress",
    "serve/fuse",
    "serve/http",
    "serve/nbd",
    "serve/tftp",
    "serve/vhost",
    "spec",
    "system",
    "system/package",
    "vm",
    "cli",
    "cli/rtf",
];
/// The same for folders whose files add methods to a type of another one.
const WITHOUT_CIRCLES_BY_MODULE: [&str; 6] = ["blob", "oci", "output", "rootfs", "sbom", "tree"];

/// What `text` imports of the folder that `prefix` leads to: its modules, and each name of a list in braces.
fn names_behind<'a>(text: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(prefix).skip(1).flat_map(|rest| {
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let end = if rest.starts_with('{') { rest.find(';') } else { rest.find(|c| !is_name(c)) };
        rest[..end.unwrap_or(rest.len())].split(move |c| !is_name(c)).filter(|name| !name.is_empty())
    })
}

/// The names that a folder's `mod.rs` passes on, with the module each of them is in.
fn passed_on(dir: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(dir).join("mod.rs")).unwrap();
    let uses = text.split(';').filter_map(|item| item.trim_start().strip_prefix("pub use "));
    let split = uses.filter_map(|path| path.split_once("::"));
    let is_between = |c: char| !c.is_alphanumeric() && c != '_';
    let named = |(module, names): (&str, &str)| {
        let names = names.split(is_between).filter(|name| !name.is_empty());
        names.map(|name| (name.to_owned(), module.to_owned())).collect::<Vec<_>>()
    };
    split.flat_map(named).collect()
}

/// The modules of a folder, each with the others that it imports.
fn imports_within(dir: &str, passed_on: &[(String, String)]) -> Vec<(String, Vec<String>)> {
    let mut imports: Vec<(String, Vec<String>)> = Vec::new();
    for path in rust_files(dir).into_iter().filter(|path| !path.ends_with("mod.rs")) {
        let inside = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join(dir)).unwrap();
        let module = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        let text = fs::read_to_string(&path).unwrap();
        let text: String = lines(&path, code(&text)).map(|line| format!("{}\n", line.text)).collect();
        let folder = format!("{}::", dir.replacen("src", "crate", 1).replace('/', "::"));
        let prefixes = [folder.as_str(), "super::"];
        let prefixes = if inside.iter().count() == 1 { &prefixes[..] } else { &prefixes[..1] };
        let names = prefixes.iter().flat_map(|prefix| names_behind(&text, prefix));
        let modules = names.map(|name| passed_on.iter().find(|(known, _)| known == name).map_or(name, |(_, in_)| in_));
        let others = modules.filter(|name| *name != module).map(str::to_owned).collect::<Vec<_>>();
        match imports.iter_mut().find(|(known, _)| *known == module) {
            Some((_, names)) => names.extend(others),
            None => imports.push((module, others)),
        }
    }
    imports
}

#[test]
fn files_of_a_folder_import_in_no_circle() {
    let seen_through = WITHOUT_CIRCLES.map(|dir| (dir, true));
    for (dir, sees_through) in seen_through.into_iter().chain(WITHOUT_CIRCLES_BY_MODULE.map(|dir| (dir, false))) {
        let dir = format!("src/{dir}");
        let mut imports = imports_within(&dir, &if sees_through { passed_on(&dir) } else { Vec::new() });
        // Whatever nothing that is left imports can go; a circle stays.
        while let Some(at) = imports.iter().position(|(name, _)| imports.iter().all(|(_, names)| !names.contains(name)))
        {
            imports.swap_remove(at);
        }
        assert!(imports.is_empty(), "{dir}: a circle of imports among {imports:?}");
    }
}

#[test]
fn every_file_says_what_it_is_and_stays_short() {
    let mut wrong = Vec::new();
    for path in ["src", "tests", "examples", "benches"].into_iter().flat_map(rust_files) {
        let text = fs::read_to_string(&path).unwrap();
        if !text.starts_with("//! ") {
            wrong.push(format!("{} does not open with `//! `", shown(&path)));
        }
        let count = text.lines().count();
        if count > LONGEST_FILE {
            wrong.push(format!("{} has {count} lines, over {LONGEST_FILE}", shown(&path)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_test_is_ignored() {
    let mut wrong = Vec::new();
    for path in rust_files("src").into_iter().chain(rust_files("tests")).filter(|p| !p.ends_with("tests/all/tidy.rs")) {
        let text = fs::read_to_string(&path).unwrap();
        let ignored = lines(&path, &text).filter(|line| line.text.contains("#[ignore"));
        wrong.extend(ignored.map(|line| format!("{}: {}", line.place, line.text.trim())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Phrases that make a comment a riddle: each stands for a thing that has a plainer name.
const RIDDLES: [&str; 8] =
    [" so many ", " so much ", " who asks", " beside each other", " is dear", " he ", " his ", " him "];
/// Names of the prelude, which stand for one thing everywhere.
const PRELUDE: [&str; 10] = ["Box", "Clone", "Default", "Drop", "From", "Into", "Option", "Result", "Send", "String"];

#[test]
fn comments_and_names_are_plain() {
    let mut wrong = Vec::new();
    for path in ["src", "tests", "examples", "benches"].into_iter().flat_map(rust_files) {
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            let comment = line.split_once("//").map_or(String::new(), |(_, comment)| format!("{comment} "));
            let words: Vec<&str> =
                line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).collect();
            let is_riddle = RIDDLES.iter().any(|riddle| comment.contains(riddle));
            let shadows = words
                .windows(2)
                .any(|pair| ["struct", "enum", "trait", "type"].contains(&pair[0]) && PRELUDE.contains(&pair[1]));
            if is_riddle || (shadows && comment.is_empty() && !path.ends_with("tests/all/tidy.rs")) {
                wrong.push(format!("{}:{}: {}", shown(&path), number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
