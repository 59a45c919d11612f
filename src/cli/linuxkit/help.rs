//! What `linuxkit --help` tells: linuxkit's commands and flags, then lkit's own.

use clap::Command;

use super::VERSION;
use super::table::{Becomes, FLAGS, NOT_DONE, Takes, is_of};

/// The help of a command, or of all when it is nothing.
pub fn of(command: &str, own: &Command) -> String {
    let mut text = format!("The command line of linuxkit {VERSION}, as lkit takes it.\n");
    let flags = FLAGS.iter().chain(NOT_DONE).filter(|flag| is_of(flag.of, command) && flag.name != "v");
    text += "\nFlags of linuxkit, with one dash or two:\n";
    for flag in flags {
        let value = if flag.takes == Takes::Value { " VALUE" } else { "" };
        let note = match flag.becomes {
            Becomes::Written(_) => String::new(),
            Becomes::Idle(reason) => format!("  (has no effect: {reason})"),
            Becomes::Refused(reason, _) => format!("  (is not done: {reason})"),
        };
        text += &format!("  --{}{value}{note}\n", flag.name);
    }
    text += "\nAnd those of lkit:\n\n";
    text + &own.clone().render_help().to_string()
}
