//! `lkit test`: tests as LinuxKit writes them, found, chosen and run, with nothing of them left behind.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use super::system::{System, assert_says, wait_for};
use crate::common::{lkit, stderr};

/// A folder with tests.
struct Project(tempfile::TempDir);

impl Project {
    fn of(files: &[(&str, &str)]) -> Self {
        let project = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            let path = project.path("cases").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        project
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = lkit(&self.path("cache"));
        command.current_dir(self.0.path()).args(["test", "cases"]).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.path("_results").join(format!("{name}.log"))).unwrap()
    }
}

/// What was printed, without times and the places of logs.
fn printed(output: &Output) -> Vec<String> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let is_time = |word: &str| word.ends_with('s') && word.trim_end_matches('s').parse::<f64>().is_ok();
    let line = |line: &str| {
        let words = line.split_whitespace().filter(|word| !is_time(word));
        words.map(|word| if word.contains("_results/") { "LOG)" } else { word }).collect::<Vec<_>>().join(" ")
    };
    text.lines().map(line).collect()
}

/// Groups, labels and every way to end.
const CASES: &[(&str, &str)] = &[
    ("group.sh", "# NAME: lk\necho $1 >> $RT_PROJECT_ROOT/../order\n"),
    ("pre-test.sh", "echo before $1\n"),
    ("post-test.sh", "echo after $1 $2\n"),
    ("020_late/test.sh", "# SUMMARY: the last one\n. ../_lib/lib.sh\nhelped\n"),
    ("_lib/lib.sh", "helped() { echo helped $RT_TEST_NAME; }\n"),
    ("010_group/group.sh", "# LABELS: linux\n[ $1 != init ] || echo ready > $RT_RESULTS/ready\n"),
    ("010_group/000_good/test.sh", "# REPEAT: 2\n[ -f $RT_RESULTS/ready ] && pwd\n"),
    ("010_group/010_bad/test.sh", "# ISSUE: org/repo#1\necho why >&2\nexit 7\n"),
    ("010_group/020_cancelled/test.sh", "exit 253\n"),
    ("010_group/030_elsewhere/test.sh", "# LABELS: !linux\nexit 1\n"),
    ("015_mac/group.sh", "# LABELS: osx\nexit 1\n"),
    ("015_mac/000_a/test.sh", "exit 1\n"),
    ("017_broken/group.sh", "exit 3\n"),
    ("017_broken/000_a/test.sh", "exit 0\n"),
];

#[test]
fn tests_run_in_their_order_and_end_as_rtf_says() {
    let project = Project::of(CASES);
    let output = project.run(&[]);
    let expected = [
        "passed lk.group.good.1",
        "passed lk.group.good.2",
        "failed lk.group.bad (exit status 7; org/repo#1; LOG)",
        "cancelled lk.group.cancelled (it cancelled itself)",
        "skipped lk.group.elsewhere",
        "skipped lk.mac.a",
        "failed lk.broken.init (`group.sh init`: exit status 3; LOG)",
        "cancelled lk.broken.a (its group could not be made ready)",
        "passed lk.late",
        "3 passed, 2 failed, 2 cancelled, 2 skipped",
    ];
    assert_eq!(printed(&output), expected, "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(fs::read_to_string(project.path("order")).unwrap(), "init\ndeinit\n");
    assert_eq!(project.log("lk.late"), "before lk.late\nhelped lk.late\nafter lk.late 0\n");
    assert_eq!(project.log("lk.group.bad"), "before lk.group.bad\nwhy\nafter lk.group.bad 1\n");
    assert!(project.log("lk.group.good.2").contains("cases/010_group/000_good\n"));
}

#[test]
fn names_and_labels_choose_tests() {
    let project = Project::of(CASES);
    let output = project.run(&["lk.group.good", "-x"]);
    let run: Vec<String> = printed(&output).into_iter().filter(|line| !line.starts_with("skipped")).collect();
    assert_eq!(run, ["passed lk.group.good.1", "passed lk.group.good.2", "2 passed, 0 failed, 0 cancelled, 6 skipped"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(project.log("lk.group.good.1").contains("+ pwd"), "{}", project.log("lk.group.good.1"));
    let listed = printed(&project.run(&["--list", "--label", "osx,!linux"]));
    assert_says(&listed.join("\n"), &["lk.mac.a [osx]", "lk.late [] the last one", "lk.group.good (skipped) [linux]"]);
}

#[test]
fn what_has_no_tests_is_refused_and_a_name_that_no_test_has_is_told() {
    let project = Project::of(CASES);
    fs::create_dir(project.path("empty")).unwrap();
    let told = |dir: &str| {
        let mut command = lkit(&project.path("cache"));
        let output = command.current_dir(project.0.path()).args(["test", dir]).output().unwrap();
        (output.status.code(), stderr(&output))
    };
    let hint = "\n\nhint: name a directory that has folders with `test.sh` in it\n";
    assert_eq!(told("empty"), (Some(2), format!("error: `empty` has no tests{hint}")));
    let script = "cases/020_late/test.sh";
    assert_eq!(told(script), (Some(2), format!("error: `{script}` is no directory of tests{hint}")));
    let missing = "error: cannot open `gone`\n  cause: No such file or directory (os error 2)";
    assert_eq!(told("gone"), (Some(1), format!("{missing}{hint}")));
    let output = project.run(&["lk.gruop"]);
    assert_eq!((output.status.code(), printed(&output).len()), (Some(0), 8));
    assert_eq!(
        stderr(&output),
        "warning: no test is run: none has a name that begins with PATTERN and labels that fit this machine\n"
    );
}

#[test]
fn a_file_of_results_that_cannot_be_written_is_told_before_a_test_is_run() {
    let project = Project::of(CASES);
    let output = project.run(&["--junit", "gone/junit.xml"]);
    assert_eq!((output.status.code(), printed(&output).len()), (Some(1), 0));
    assert_says(
        &stderr(&output),
        &["error: cannot write `gone/junit.xml`", "hint: make the directory with `mkdir -p gone`"],
    );
    assert!(!project.path("order").exists());
}

#[test]
fn results_are_json_and_junit() {
    let project = Project::of(CASES);
    let output = project.run(&["--json", "--junit", "junit.xml", "-r", "logs"]);
    assert_eq!(output.status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (json["passed"].as_u64(), json["failed"].as_u64(), json["skipped"].as_u64()),
        (Some(3), Some(2), Some(2))
    );
    assert_eq!(json["results"][2]["reason"], "exit status 7");
    assert!(Path::new(json["results"][2]["log"].as_str().unwrap()).ends_with("logs/lk.group.bad.log"));
    let xml = fs::read_to_string(project.path("junit.xml")).unwrap();
    assert_says(&xml, &["tests=\"9\" failures=\"2\"", "<failure message=\"exit status 7\"/>", "skipped=\"4\""]);
    let check = "import sys, xml.etree.ElementTree as e; print(len(e.parse(sys.argv[1]).getroot()))";
    let count = crate::common::run("python3", ["-c", check, project.path("junit.xml").to_str().unwrap()]);
    assert_eq!(count, "9\n");
}

/// Whether the process whose number a file holds has gone, or has only not been taken away yet.
fn has_gone(file: &Path) -> bool {
    let pid = fs::read_to_string(file).unwrap();
    let state = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    state.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with('Z'))
}

#[test]
fn a_test_that_hangs_is_ended_with_all_that_it_started() {
    let hangs = "sleep 100000 & echo $! > child\nwait\n";
    let project = Project::of(&[("hangs/test.sh", hangs), ("leaves/test.sh", "sleep 100000 & echo $! > child\n")]);
    let output = project.run(&["--timeout", "2"]);
    let expected = [
        "failed hangs (it took longer than it may; LOG)",
        "passed leaves",
        "1 passed, 1 failed, 0 cancelled, 0 skipped",
    ];
    assert_eq!(printed(&output), expected);
    for test in ["hangs", "leaves"] {
        let child = project.path("cases").join(test).join("child");
        wait_for("the end of what a test started", || has_gone(&child));
    }
}

#[test]
fn an_interrupted_run_ends_its_test_and_says_so() {
    let project = Project::of(&[("a/test.sh", "sleep 100000 & echo $! > child\nwait\n"), ("b/test.sh", "exit 0\n")]);
    let mut command = project.command(&[]);
    let run = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let child = project.path("cases/a/child");
    wait_for("the test", || fs::read_to_string(&child).is_ok_and(|text| text.ends_with('\n')));
    super::system::signal("INT", run.id());
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert_eq!(printed(&output)[0], "failed a (interrupted; LOG)");
    assert_says(&stderr(&output), &["error: the tests were interrupted"]);
    wait_for("the end of what the test started", || has_gone(&child));
}

#[test]
fn headers_that_contradict_themselves_are_told() {
    let project = Project::of(&[("a/test.sh", "# REPEAT: often\n")]);
    let output = project.run(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert_says(&stderr(&output), &["a/test.sh` has a header that is not valid: `REPEAT: often` is no number"]);
    assert_says(&stderr(&Project::of(&[]).run(&[])), &["error: cannot open `cases`"]);
}

#[test]
fn build_tests_of_linuxkits_kind_run() {
    let system = System::new();
    let test = "# SUMMARY: Check that the tar output is a tar\n# LABELS:\nset -e\nNAME=check\n\
                clean_up() { rm -f ${NAME}*; }\ntrap clean_up EXIT\n\
                linuxkit build --format tar --name ${NAME} --layout \"$RT_PROJECT_ROOT/../layout\" --offline ../test.yml\n\
                [ -f ${NAME}.tar ] || exit 1\ntar tf ${NAME}.tar | grep -q etc/motd\nexit 0\n";
    for (name, format) in [("000_tar", "tar"), ("010_bad", "no-such")] {
        let dir = system.path(&format!("cases/000_build/{name}"));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("test.sh"), test.replace("--format tar", &format!("--format {format}"))).unwrap();
    }
    fs::write(system.path("cases/000_build/test.yml"), super::system::SPEC).unwrap();
    fs::write(system.path("cases/group.sh"), "# NAME: linuxkit\n").unwrap();
    fs::create_dir(system.path("bin")).unwrap();
    symlink(env!("CARGO_BIN_EXE_lkit"), system.path("bin/linuxkit")).unwrap();
    let path = std::env::var("PATH").unwrap();
    let mut command = lkit(&system.cache());
    command.current_dir(system.dir.path()).args(["test", "cases"]);
    let output = command.env("PATH", format!("{}:{path}", system.path("bin").display())).output().unwrap();
    let lines = printed(&output);
    assert_eq!(lines[0], "passed linuxkit.build.tar", "{lines:?}");
    assert_says(&lines[1], &["failed linuxkit.build.bad (exit status 2;"]);
    let log = fs::read_to_string(system.path("_results/linuxkit.build.bad.log")).unwrap();
    assert_says(&log, &["error: `no-such` is no output format"]);
}

#[test]
fn a_script_has_the_limit_of_open_files_that_lkit_was_started_with() {
    let project = Project::of(&[("group.sh", "# NAME: lk\n"), ("000_a/test.sh", "ulimit -Sn\n")]);
    let line = project.command(&[]);
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "ulimit -Sn 77 && exec \"$0\" \"$@\""]).arg(line.get_program()).args(line.get_args());
    command.envs(line.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.current_dir(project.0.path()).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(project.log("lk.a").lines().next(), Some("77"));
}
