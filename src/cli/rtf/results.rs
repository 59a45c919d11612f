//! What came of tests: as lines, as JSON, and as JUnit's XML.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

/// What came of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    Failed,
    Cancelled,
    /// Its labels or its name say that it is not run.
    Skipped,
}

impl Outcome {
    /// Its name in lines and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
        }
    }
}

/// One run of a test.
#[derive(Clone, Debug)]
pub struct TestResult {
    pub name: String,
    pub outcome: Outcome,
    pub duration: Duration,
    /// Why it did not pass.
    pub reason: String,
    pub summary: String,
    pub issue: String,
    pub log: Option<PathBuf>,
}

impl TestResult {
    /// A line that says what came of it.
    pub fn line(&self) -> String {
        let Self { name, outcome, duration, reason, issue, log, .. } = self;
        let mut line = format!("{:<9} {name} {:.2}s", outcome.name(), duration.as_secs_f64());
        let notes = [reason.as_str(), issue.as_str()].into_iter().filter(|note| !note.is_empty());
        let log = log.as_ref().filter(|_| *outcome == Outcome::Failed).map(|log| log.display().to_string());
        let notes: Vec<String> = notes.map(str::to_owned).chain(log).collect();
        if !notes.is_empty() {
            line += &format!(" ({})", notes.join("; "));
        }
        line
    }
}

/// What came of all tests.
#[derive(Debug, Default)]
pub struct Results(pub Vec<TestResult>);

impl Results {
    /// How many tests came to this.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.0.iter().filter(|result| result.outcome == outcome).count()
    }

    /// The numbers of all outcomes in a line.
    pub fn line(&self) -> String {
        let outcomes = [Outcome::Passed, Outcome::Failed, Outcome::Cancelled, Outcome::Skipped];
        outcomes.map(|outcome| format!("{} {}", self.count(outcome), outcome.name())).join(", ")
    }

    /// Counts and results.
    pub fn json(&self) -> Value {
        let result = |result: &TestResult| {
            json!({"name": result.name, "result": result.outcome.name(), "seconds": result.duration.as_secs_f64(),
                   "reason": result.reason, "summary": result.summary, "issue": result.issue,
                   "log": result.log.as_ref().map(|log| log.display().to_string())})
        };
        json!({"passed": self.count(Outcome::Passed), "failed": self.count(Outcome::Failed),
               "cancelled": self.count(Outcome::Cancelled), "skipped": self.count(Outcome::Skipped),
               "results": self.0.iter().map(result).collect::<Vec<_>>()})
    }

    /// The same as JUnit's XML; what was cancelled counts as skipped there.
    pub fn junit(&self) -> String {
        let skipped = self.count(Outcome::Cancelled) + self.count(Outcome::Skipped);
        let seconds: f64 = self.0.iter().map(|result| result.duration.as_secs_f64()).sum();
        let (tests, failures) = (self.0.len(), self.count(Outcome::Failed));
        let mut text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"lkit test\" tests=\"{tests}\" \
             failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\" time=\"{seconds:.3}\">\n"
        );
        for result in &self.0 {
            let (group, name) = result.name.rsplit_once('.').unwrap_or(("", &result.name));
            let (group, name, reason) = (escaped(group), escaped(name), escaped(&result.reason));
            let body = match result.outcome {
                Outcome::Passed => String::new(),
                Outcome::Failed => format!("<failure message=\"{reason}\"/>"),
                Outcome::Cancelled | Outcome::Skipped => format!("<skipped message=\"{reason}\"/>"),
            };
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "  <testcase classname=\"{group}\" name=\"{name}\" time=\"{:.3}\">{body}</testcase>",
                result.duration.as_secs_f64()
            );
        }
        text + "</testsuite>\n"
    }
}

/// A text inside of an attribute; XML 1.0 has no control characters.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_lines_and_xml() {
        let result = |name: &str, outcome, reason: &str| TestResult {
            name: name.to_owned(),
            outcome,
            duration: Duration::from_millis(1500),
            reason: reason.to_owned(),
            summary: String::new(),
            issue: String::new(),
            log: Some("r/a.log".into()),
        };
        let failed = result("top.<a>", Outcome::Failed, "exit status 1 & \u{1b}");
        assert_eq!(failed.line(), "failed    top.<a> 1.50s (exit status 1 & \u{1b}; r/a.log)");
        let results = Results(vec![failed, result("b", Outcome::Cancelled, "")]);
        assert_eq!(results.line(), "0 passed, 1 failed, 1 cancelled, 0 skipped");
        let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<testsuite name=\"lkit test\" tests=\"2\" failures=\"1\" errors=\"0\" skipped=\"1\" time=\"3.000\">
  <testcase classname=\"top\" name=\"&lt;a&gt;\" time=\"1.500\"><failure message=\"exit status 1 &amp; \u{fffd}\"/></testcase>
  <testcase classname=\"\" name=\"b\" time=\"1.500\"><skipped message=\"\"/></testcase>
</testsuite>
";
        assert_eq!(results.junit(), expected);
    }
}
