//! Colours of messages on a terminal, as rustc has them. Elsewhere messages come as they are.

use std::ffi::OsStr;
use std::io::{self, IsTerminal as _};

const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const BLUE: &str = "\x1b[1;34m";
const CYAN: &str = "\x1b[1;36m";
const PLAIN: &str = "\x1b[0m";

/// What begins a line of a message, and its colour.
const LABELS: [(&str, &str); 4] = [("error:", RED), ("warning:", YELLOW), ("hint:", CYAN), ("cause:", BOLD)];

/// The lines of a message, in colour where standard error is a terminal that shows some and nobody objects.
pub fn for_standard_error(text: String) -> String {
    let [no_color, term] = ["NO_COLOR", "TERM"].map(std::env::var_os);
    let wanted = is_wanted(no_color.as_deref(), term.as_deref());
    if wanted && io::stderr().is_terminal() { text.lines().map(coloured).collect() } else { text }
}

/// Whether a terminal may get colours: `NO_COLOR` is not set or empty (<https://no-color.org>), `TERM` is not `dumb`.
fn is_wanted(no_color: Option<&OsStr>, term: Option<&OsStr>) -> bool {
    no_color.is_none_or(OsStr::is_empty) && term.is_some_and(|term| term != "dumb")
}

/// A line of a message with its colours, and its end.
fn coloured(line: &str) -> String {
    let text = line.trim_start();
    let indent = &line[..line.len() - text.len()];
    for (label, colour) in LABELS {
        if let Some(rest) = text.strip_prefix(label) {
            let (on, off) = if ["error:", "warning:"].contains(&label) { (BOLD, PLAIN) } else { ("", "") };
            return format!("{indent}{colour}{label}{PLAIN}{on}{rest}{off}\n");
        }
    }
    if let Some(rest) = text.strip_prefix("-->") {
        return format!("{indent}{BLUE}-->{PLAIN}{rest}\n");
    }
    let number = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let Some(rest) = number.trim_start().strip_prefix('|') else { return format!("{line}\n") };
    let gutter = &line[..line.len() - rest.len()];
    let is_marker = rest.contains('^') && rest.trim_matches([' ', '^']).is_empty();
    let (on, off) = if is_marker { (RED, PLAIN) } else { ("", "") };
    format!("{BLUE}{gutter}{PLAIN}{on}{rest}{off}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_coloured_as_rustc_does() {
        let rows = [
            ("error: no `x`", "\x1b[1;31merror:\x1b[0m\x1b[1m no `x`\x1b[0m\n"),
            ("  --> a.yml:1:2", "  \x1b[1;34m-->\x1b[0m a.yml:1:2\n"),
            ("   |", "\x1b[1;34m   |\x1b[0m\n"),
            (" 1 | a: | ^", "\x1b[1;34m 1 |\x1b[0m a: | ^\n"),
            ("   |  ^^", "\x1b[1;34m   |\x1b[0m\x1b[1;31m  ^^\x1b[0m\n"),
            ("  cause: b", "  \x1b[1mcause:\x1b[0m b\n"),
            ("hint: c", "\x1b[1;36mhint:\x1b[0m c\n"),
            ("", "\n"),
            ("and 3 more | problems", "and 3 more | problems\n"),
        ];
        for (line, expected) in rows {
            assert_eq!(coloured(line), expected);
        }
    }

    #[test]
    fn colours_are_for_terminals_that_show_them_and_people_who_want_them() {
        let rows = [
            (None, Some("xterm"), true),
            (Some(""), Some("xterm"), true),
            (Some("1"), Some("xterm"), false),
            (None, Some("dumb"), false),
            (None, None, false),
        ];
        for (no_color, term, wanted) in rows {
            assert_eq!(is_wanted(no_color.map(OsStr::new), term.map(OsStr::new)), wanted, "{no_color:?} {term:?}");
        }
    }
}
