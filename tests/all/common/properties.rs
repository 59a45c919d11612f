//! How much properties are tried.

use proptest::test_runner::Config;

/// So many cases, unless `PROPTEST_CASES` says how many.
pub fn cases(count: u32) -> Config {
    let usual = Config { failure_persistence: None, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_some() { usual } else { Config { cases: count, ..usual } }
}
