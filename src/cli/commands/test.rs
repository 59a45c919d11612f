//! `lkit test`: regression tests as LinuxKit writes them, run one after the other.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use crate::base::{ErrorKind, printable_line};
use crate::cli::args;
use crate::cli::log::Loudness;
use crate::cli::report::{self, Failure};
use crate::cli::rtf::{
    Ended, Group, Labels, Member, Outcome, Results, Runner, Surroundings, Test, TestResult, Wanted, host_labels,
};

/// What is said where nothing is run, so that a misspelt name is not taken for a success.
const NONE: &str = "no test is run: none has a name that begins with PATTERN and labels that fit this machine";

/// Runs tests, or lists them. The exit code is 1 when one failed.
pub fn run(args: args::Test, loudness: Loudness) -> Result<ExitCode, Failure> {
    let host = host_labels().and(&Labels::parse(&args.label.join(",")));
    let top = Group::top(&args.dir)?;
    let wanted = Wanted { host: host.clone(), pattern: args.pattern };
    if loudness > Loudness::Quiet && !wanted.has_any(&top) {
        report::warn(NONE);
    }
    if args.list {
        list(&top, &wanted)?;
        return Ok(ExitCode::SUCCESS);
    }
    let surroundings = Surroundings {
        project: top.dir.clone(),
        results: args.resultdir,
        labels: host,
        traces: args.extra,
        limit: args.timeout.map(Duration::from_secs),
    };
    let runner = Runner::new(surroundings)?;
    // Now, so that a file that cannot be written costs no run.
    args.junit.as_deref().map_or(Ok(()), |file| write(file, ""))?;
    let mut run = TestRun { runner, wanted: &wanted, top: &top, results: Results::default(), prints: !args.json };
    let ended = run.group(&top);
    if let Some(file) = args.junit {
        write(&file, &run.results.junit())?;
    }
    match args.json {
        true => report::print(&format!("{:#}\n", run.results.json()))?,
        false => report::print(&format!("{}\n", run.results.line()))?,
    }
    ended?;
    Ok(if run.results.count(Outcome::Failed) > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    fs::write(file, text).map_err(|error| Failure::writing(file, &error))
}

/// Prints the names of tests with their labels and summaries.
fn list(group: &Group, wanted: &Wanted) -> Result<(), Failure> {
    for node in &group.children {
        match node {
            Member::Group(group) => list(group, wanted)?,
            Member::Test(test) => {
                let Test { name, labels, header, .. } = test;
                let skipped = if wanted.has(test) { "" } else { " (skipped)" };
                let line = format!("{name}{skipped} [{}] {}", labels.joined(", "), header.summary);
                report::print(&format!("{}\n", printable_line(line.trim_end())))?;
            }
        }
    }
    Ok(())
}

/// A run of tests.
struct TestRun<'a> {
    runner: Runner,
    wanted: &'a Wanted,
    /// All tests, with the folder of the scripts that stand around each.
    top: &'a Group,
    results: Results,
    /// Whether each result is printed.
    prints: bool,
}

impl TestRun<'_> {
    /// Runs a group between `init` and `deinit` of its script, if any of its tests is run.
    fn group(&mut self, group: &Group) -> Result<(), Failure> {
        let script = group.script.as_deref().filter(|_| self.wanted.has_any(group));
        if !self.around(group, script, "init")? {
            return self.cancel(group);
        }
        for node in &group.children {
            match node {
                Member::Group(group) => self.group(group)?,
                Member::Test(test) => self.test(test)?,
            }
        }
        self.around(group, script, "deinit").map(drop)
    }

    /// Calls the script of a group; whether that went well.
    fn around(&mut self, group: &Group, script: Option<&Path>, word: &str) -> Result<bool, Failure> {
        let Some(script) = script else { return Ok(true) };
        let name = if group.name.is_empty() { word.to_owned() } else { format!("{}.{word}", group.name) };
        let (ended, duration) = self.runner.run((script, &group.dir), &name, &[word])?;
        if ended == Ended::Passed {
            return Ok(true);
        }
        let reason = format!("`group.sh {word}`: {}", reason(ended));
        let log = Some(self.runner.log(&name));
        let (summary, issue) = (String::new(), String::new());
        self.tell(TestResult { name, outcome: Outcome::Failed, duration, reason, summary, issue, log })?;
        if ended == Ended::Interrupted { Err(interrupted()) } else { Ok(false) }
    }

    /// What comes of the tests of a group that could not be made ready.
    fn cancel(&mut self, group: &Group) -> Result<(), Failure> {
        for node in &group.children {
            match node {
                Member::Group(group) => self.cancel(group)?,
                Member::Test(test) => {
                    let is_run = self.wanted.has(test);
                    let outcome = if is_run { Outcome::Cancelled } else { Outcome::Skipped };
                    self.untested(test, outcome, if is_run { "its group could not be made ready" } else { "" })?;
                }
            }
        }
        Ok(())
    }

    fn untested(&mut self, test: &Test, outcome: Outcome, reason: &str) -> Result<(), Failure> {
        let (name, reason) = (test.name.clone(), reason.to_owned());
        let (summary, issue) = (test.header.summary.clone(), String::new());
        self.tell(TestResult { name, outcome, duration: Duration::ZERO, reason, summary, issue, log: None })
    }

    fn test(&mut self, test: &Test) -> Result<(), Failure> {
        if !self.wanted.has(test) {
            return self.untested(test, Outcome::Skipped, "");
        }
        for time in 1..=test.header.repeat.unwrap_or(1) {
            let name = match test.header.repeat {
                Some(_) => format!("{}.{time}", test.name),
                None => test.name.clone(),
            };
            self.once(test, name)?;
        }
        Ok(())
    }

    fn once(&mut self, test: &Test, name: String) -> Result<(), Failure> {
        let log = self.runner.log(&name);
        // The log is of this run alone.
        write(&log, "")?;
        let before = self.hook("pre-test.sh", test, &[&name])?;
        let (mut ended, mut duration) = (before, Duration::ZERO);
        if before == Ended::Passed {
            (ended, duration) = self.runner.run((&test.script, &test.dir), &name, &[])?;
        }
        let number = match ended {
            Ended::Passed => "0",
            Ended::Cancelled => "3",
            _ => "1",
        };
        let after =
            if ended == Ended::Interrupted { ended } else { self.hook("post-test.sh", test, &[&name, number])? };
        let ended = if ended == Ended::Passed { after } else { ended };
        let outcome = match ended {
            Ended::Passed => Outcome::Passed,
            Ended::Cancelled => Outcome::Cancelled,
            Ended::Failed(_) | Ended::TimedOut | Ended::Interrupted => Outcome::Failed,
        };
        let (summary, issue) = (test.header.summary.clone(), test.header.issue.clone());
        let issue = if outcome == Outcome::Failed { issue } else { String::new() };
        self.tell(TestResult { name, outcome, duration, reason: reason(ended), summary, issue, log: Some(log) })?;
        if ended == Ended::Interrupted { Err(interrupted()) } else { Ok(()) }
    }

    /// Runs a script of the top around a test, if there is one.
    fn hook(&self, script: &str, test: &Test, arguments: &[&str]) -> Result<Ended, Failure> {
        let script = self.top.dir.join(script);
        if !script.is_file() {
            return Ok(Ended::Passed);
        }
        let (ended, _) = self.runner.run((&script, &test.dir), arguments[0], arguments)?;
        Ok(ended)
    }

    fn tell(&mut self, result: TestResult) -> Result<(), Failure> {
        if self.prints {
            report::print(&format!("{}\n", printable_line(&result.line())))?;
        }
        self.results.0.push(result);
        Ok(())
    }
}

fn interrupted() -> Failure {
    Failure::new(ErrorKind::Interrupted, "the tests were interrupted")
}

/// Why a test has not passed.
fn reason(ended: Ended) -> String {
    match ended {
        Ended::Passed => String::new(),
        Ended::Cancelled => "it cancelled itself".to_owned(),
        Ended::Failed(Some(code)) => format!("exit status {code}"),
        Ended::Failed(None) => "ended by a signal".to_owned(),
        Ended::TimedOut => "it took longer than it may".to_owned(),
        Ended::Interrupted => "interrupted".to_owned(),
    }
}
