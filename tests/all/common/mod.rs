//! What the tests share: external judges, temporary directories, the program under test.

pub mod artifact;
pub mod entries;
pub mod images;
pub mod layout;
pub mod measured;
pub mod properties;
pub mod qemu;
pub mod registry;
pub mod sample;
pub mod scripted;
pub mod shelf;
pub mod source;
pub mod tls;
pub mod workshop;

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The program, ready for arguments; its cache is `cache`.
pub fn lkit(cache: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lkit"));
    command.env("LKIT_CACHE", cache).env_remove("LKIT_LOG");
    command
}

/// Set to 1 where tests that lack something are skipped; elsewhere they fail.
const MAY_SKIP: &str = "LKIT_TESTS_MAY_SKIP";

/// Whether all `tools` are on the PATH. Without one the test fails, or is skipped where that is allowed.
pub fn have(tools: &[&str]) -> bool {
    let missing: Vec<&&str> = tools.iter().filter(|tool| !on_path(tool)).collect();
    skip_unless(missing.is_empty(), &format!("missing tools: {missing:?}; run tools/install"))
}

/// Whether `condition` holds. Where it does not the test fails, or says that it is skipped where that is allowed.
pub fn skip_unless(condition: bool, reason: &str) -> bool {
    if !condition {
        let may_skip = std::env::var(MAY_SKIP).is_ok_and(|value| value == "1");
        assert!(may_skip, "{reason}; with {MAY_SKIP}=1 such tests are skipped");
        eprintln!("SKIPPED: {reason}");
    }
    condition
}

fn on_path(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]).any(|dir| dir.join(tool).is_file())
}

/// Runs a command; standard output when it succeeds, else the test ends with what it said.
pub fn run<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> String {
    let output = Command::new(program).args(args).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    stdout(program, &output)
}

/// Copies a program that anybody may run then.
///
/// Another process does it: what this one has open for writing is inherited by the children that other tests start at
/// that moment, and the kernel runs no file that is open for writing.
pub fn install(program: &Path, to: &Path) {
    run("install", [OsStr::new("-m755"), program.as_ref(), to.as_ref()]);
}

/// Writes a script that anybody may run then.
pub fn install_script(text: &str, to: &Path) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    install(file.path(), to);
}

/// Standard output of a command that succeeded.
pub fn stdout(program: &str, output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program}: {}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr));
    text
}

/// Standard error as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The OCI layout of the example images, when `tools/images` has made it.
pub fn example_images() -> Option<PathBuf> {
    let dir = root().join("target/images");
    skip_unless(dir.join("index.json").is_file(), "no example images; run tools/images").then_some(dir)
}

/// The golden cases beside the repository, where they are.
pub fn golden() -> Option<PathBuf> {
    let dir = root().join("../shared/golden");
    let there = dir.join("run.py").is_file();
    if !there {
        eprintln!("SKIPPED: no golden cases at {}", dir.display());
    }
    there.then_some(dir)
}

/// A run of this program for the test `role` alone, which does something when `variable` is set.
pub fn role(role: &str, variable: &str, value: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", role, "--nocapture", "--test-threads=1"]).env(variable, value);
    command
}

/// Names a tool to a run of this program that is to lack it.
const LACKED: &str = "LKIT_TEST_LACKS";

/// Not a test of its own: what the next one runs as another process.
#[test]
fn lacks_a_tool_when_asked() {
    let Some(tool) = std::env::var_os(LACKED) else { return };
    assert!(!have(&[tool.to_str().unwrap()]));
}

#[test]
fn a_test_that_lacks_a_tool_fails_unless_it_may_be_skipped() {
    let lacking = |may_skip: &str| {
        let mut command = role("common::lacks_a_tool_when_asked", LACKED, "no-such-tool");
        let output = command.env(MAY_SKIP, may_skip).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(&output))
    };
    let (code, said) = lacking("");
    assert_eq!(code, Some(101), "{said}");
    assert!(said.contains("missing tools: [\"no-such-tool\"]") && said.contains("LKIT_TESTS_MAY_SKIP=1"), "{said}");
    let (code, said) = lacking("1");
    assert!(code == Some(0) && said.contains("1 passed"), "{said}");
    assert!(said.contains("SKIPPED: missing tools: [\"no-such-tool\"]"), "{said}");
}
