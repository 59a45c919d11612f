//! The tests below a folder, in their groups and their order.

use std::fs;
use std::path::{Path, PathBuf};

use super::header::{Header, Labels};
use crate::cli::report::Failure;

/// Levels of groups; more is a mistake.
const DEEPEST: usize = 64;

/// What to name in the place of what has no tests.
const HINT: &str = "name a directory that has folders with `test.sh` in it";

/// A group of tests and groups.
#[derive(Debug)]
pub struct Group {
    pub name: String,
    pub dir: PathBuf,
    /// `group.sh`, when there is one.
    pub script: Option<PathBuf>,
    pub labels: Labels,
    pub children: Vec<Member>,
}

/// A test.
#[derive(Debug)]
pub struct Test {
    pub name: String,
    pub dir: PathBuf,
    pub script: PathBuf,
    pub header: Header,
    /// Its own and those of its group.
    pub labels: Labels,
}

/// A part of a group.
#[derive(Debug)]
pub enum Member {
    Group(Group),
    Test(Test),
}

/// Which tests are run.
#[derive(Debug)]
pub struct Wanted {
    /// The labels of the host.
    pub host: Labels,
    /// What the names of tests begin with.
    pub pattern: String,
}

impl Wanted {
    /// Whether a test is run.
    pub fn has(&self, test: &Test) -> bool {
        test.labels.fit(&self.host) && test.name.starts_with(&self.pattern)
    }

    /// Whether any test below a group is run.
    pub fn has_any(&self, group: &Group) -> bool {
        let has = |node: &Member| match node {
            Member::Group(group) => self.has_any(group),
            Member::Test(test) => self.has(test),
        };
        group.labels.fit(&self.host) && group.children.iter().any(has)
    }
}

impl Group {
    /// Whether there is any test.
    pub fn has_tests(&self) -> bool {
        let has = |node: &Member| match node {
            Member::Group(group) => group.has_tests(),
            Member::Test(_) => true,
        };
        self.children.iter().any(has)
    }

    /// The tests below `dir`.
    ///
    /// # Errors
    /// When there are none, or a folder or script cannot be read.
    pub fn top(dir: &Path) -> Result<Self, Failure> {
        let cannot = |error| Failure::io(format!("cannot open `{}`", dir.display()), &error).hint(HINT);
        let top = fs::canonicalize(dir).map_err(cannot)?;
        if !top.is_dir() {
            return Err(Failure::usage(format!("`{}` is no directory of tests", dir.display())).hint(HINT));
        }
        let top = Self::at(&top, None, DEEPEST)?;
        match top.has_tests() {
            true => Ok(top),
            false => Err(Failure::usage(format!("`{}` has no tests", dir.display())).hint(HINT)),
        }
    }

    fn at(dir: &Path, name: Option<String>, levels: usize) -> Result<Self, Failure> {
        let script = Some(dir.join("group.sh")).filter(|script| script.is_file());
        let header = script.as_deref().map(Header::of_file).transpose()?.unwrap_or_default();
        let name = name.unwrap_or(header.name);
        let labels = header.labels;
        let mut group = Self { name, dir: dir.to_owned(), script, labels, children: Vec::new() };
        if levels == 0 {
            let message = format!("`{}` is more than {DEEPEST} folders deep", dir.display());
            return Err(Failure::usage(message).hint("name a folder further down"));
        }
        for (name, dir) in folders(dir)? {
            let name = if group.name.is_empty() { name } else { format!("{}.{name}", group.name) };
            if dir.join("group.sh").is_file() || !folders(&dir)?.is_empty() {
                group.children.push(Member::Group(Self::at(&dir, Some(name.clone()), levels - 1)?));
            }
            let script = dir.join("test.sh");
            if script.is_file() {
                let header = Header::of_file(&script)?;
                let labels = header.labels.clone().and(&group.labels);
                group.children.push(Member::Test(Test { name, dir, script, header, labels }));
            }
        }
        Ok(group)
    }
}

/// The folders in `dir` that do not begin with `_`, with their names, in their order. Links are not followed.
fn folders(dir: &Path) -> Result<Vec<(String, PathBuf)>, Failure> {
    let cannot = |error| Failure::io(format!("cannot read `{}`", dir.display()), &error);
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('_') && entry.file_type().map_err(cannot)?.is_dir() {
            found.push((ordered(&name), name, entry.path()));
        }
    }
    found.sort_by(|((order, _), name, _), (other, with, _)| (order, name).cmp(&(&other.0, with)));
    Ok(found.into_iter().map(|((_, name), _, path)| (name, path)).collect())
}

/// The number in front of a name, and the name behind it; without one, 0.
fn ordered(name: &str) -> (u64, String) {
    match name.split_once('_') {
        Some((number, rest)) => (number.parse().unwrap_or(0), rest.to_owned()),
        None => (0, name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_say_the_order_and_are_no_part_of_names() {
        for (folder, order, name) in [("010_boot", 10, "boot"), ("boot", 0, "boot"), ("x_y_z", 0, "y_z")] {
            assert_eq!(ordered(folder), (order, name.to_owned()));
        }
    }

    #[test]
    fn folders_are_groups_and_tests() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("group.sh", "# NAME: top\n# LABELS: linux\n");
        write("020_late/test.sh", "# SUMMARY: late\n");
        write("003_early/group.sh", "# LABELS: slow\n");
        write("003_early/000_a/test.sh", "# LABELS: !osx\n");
        write("_lib/000_no/test.sh", "");
        let top = Group::top(dir.path()).unwrap();
        let [Member::Group(early), Member::Test(late)] = &top.children[..] else { panic!("{top:?}") };
        let [Member::Test(a)] = &early.children[..] else { panic!("{early:?}") };
        assert_eq!((a.name.as_str(), late.name.as_str()), ("top.early.a", "top.late"));
        assert_eq!((a.labels.joined(","), late.labels.joined(",")), ("!osx,slow".to_owned(), "linux".to_owned()));
        let wanted = |host: &str, pattern: &str| Wanted { host: Labels::parse(host), pattern: pattern.to_owned() };
        assert!(wanted("linux", "").has(late) && !wanted("linux", "").has_any(early));
        assert!(wanted("slow", "top.early").has_any(early) && !wanted("slow", "top.l").has_any(early));
    }
}
