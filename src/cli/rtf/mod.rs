//! Tests as LinuxKit writes them: shell scripts in folders, which its test runner rtf finds, chooses by labels, and runs.
//!
//! # Format
//! A folder with `test.sh` is a test, one with folders is a group. Its `group.sh` is called with `init` before the first
//! of its tests and with `deinit` after the last; `pre-test.sh` and `post-test.sh` of the top stand around every test.
//! Numbers before `_` say the order. A test that ends with 0 has passed, with 253 it was cancelled, else it failed. Comments
//! such as `# LABELS: linux, !arm64` at the line's start describe tests and groups.

mod header;
mod results;
mod script;
mod tree;

pub use self::header::{Labels, host_labels};
pub use self::results::{Outcome, Results, TestResult};
pub use self::script::{Ended, Runner, Surroundings};
pub use self::tree::{Group, Member, Test, Wanted};
