//! Arguments of `lkit test`.

use std::path::PathBuf;

use clap::{Args as Group, ValueHint};

#[derive(Debug, Group)]
pub struct Test {
    /// Directory of tests: folders with `test.sh`, in groups
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
    /// Run only the tests whose names begin so [default: all]
    #[arg(value_name = "PATTERN", default_value = "", hide_default_value = true)]
    pub pattern: String,
    /// Labels of this machine besides its system and its architecture; `!LABEL` runs no test that has it (repeatable)
    #[arg(short, long, value_name = "LABEL", value_delimiter = ',')]
    pub label: Vec<String>,
    /// Let the shell print every command to the log
    #[arg(short = 'x', long)]
    pub extra: bool,
    /// Seconds that a script may take, until all that it has started is ended [default: no limit]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: Option<u64>,
    /// Directory for the log of every test
    #[arg(short, long, value_name = "DIR", default_value = "_results", value_hint = ValueHint::DirPath)]
    pub resultdir: PathBuf,
    /// List the tests and run none
    #[arg(long, conflicts_with_all = ["json", "junit"])]
    pub list: bool,
    /// Print results as JSON
    #[arg(long)]
    pub json: bool,
    /// Write results as JUnit's XML, too
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub junit: Option<PathBuf>,
}
