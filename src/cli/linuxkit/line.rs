//! A command line of linuxkit while it is read, word after word.

use std::ffi::{OsStr, OsString};
use std::iter::Peekable;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use clap::{Arg, Command};

use super::Environment;
use super::table::{self, Becomes, ELSEWHERE, FLAGS, Flag, NOT_DONE, Takes, Written};
use super::word::{Given, Word, option};
use crate::base::nearest;
use crate::cli::report::Failure;

/// The words that are not read yet.
type Rest<'a> = Peekable<std::slice::Iter<'a, OsString>>;

/// What has been read.
pub struct Line<'a> {
    program: &'a Command,
    pub(super) environment: &'a Environment,
    /// The command, in words that are linuxkit's and lkit's.
    pub(super) command: Vec<String>,
    /// Options of lkit.
    pub(super) options: Vec<OsString>,
    /// What is neither command nor option.
    pub(super) words: Vec<OsString>,
    pub(super) warnings: Vec<String>,
    pub(super) verbosity: Option<u64>,
    pub(super) wants_help: bool,
    pub(super) wants_version: Option<&'static str>,
    pub(super) cache: Option<OsString>,
    pub(super) mirrors: Vec<OsString>,
    pub(super) certificates: Vec<OsString>,
    pub(super) dir: Option<OsString>,
    pub(super) name: Option<OsString>,
    pub(super) port: Option<OsString>,
    /// What the names of files to start from end in.
    pub(super) suffix: Option<&'static str>,
    /// Whether it starts a machine or pushes at a place that lkit does not serve: then nothing else of the line matters.
    pub(super) is_elsewhere: bool,
}

impl<'a> Line<'a> {
    /// Reads all words.
    ///
    /// # Errors
    /// When one is not known, or asks for what lkit does not do.
    pub fn of(words: &'a [OsString], program: &'a Command, environment: &'a Environment) -> Result<Self, Failure> {
        let mut line = Self {
            program,
            environment,
            command: Vec::new(),
            options: Vec::new(),
            words: Vec::new(),
            warnings: Vec::new(),
            verbosity: None,
            wants_help: false,
            wants_version: None,
            cache: None,
            mirrors: Vec::new(),
            certificates: Vec::new(),
            dir: None,
            name: None,
            port: None,
            suffix: None,
            is_elsewhere: false,
        };
        let mut rest = words.iter().peekable();
        while let Some(word) = rest.next().filter(|_| !line.is_elsewhere) {
            match Word::of(word) {
                Word::Plain(word) => line.plain(word)?,
                Word::Flag(given) => line.flag(given, &mut rest)?,
                Word::End => line.words.extend(rest.by_ref().cloned()),
            }
        }
        Ok(line)
    }

    /// The command in one text.
    pub(super) fn command(&self) -> String {
        self.command.join(" ")
    }

    /// Our parser's command of these words.
    fn found(&self) -> Option<&'a Command> {
        self.command.iter().try_fold(self.program, |command, word| command.find_subcommand(word))
    }

    /// The same, which is there: a command that is not known is refused when it is read.
    pub(super) fn own(&self) -> &'a Command {
        self.found().unwrap_or(self.program)
    }

    fn plain(&mut self, word: &OsStr) -> Result<(), Failure> {
        if !self.own().has_subcommands() {
            self.is_elsewhere = self.command() == "run" && self.words.is_empty() && is_elsewhere(word);
            self.words.push(word.to_owned());
            return Ok(());
        }
        if self.command.is_empty() && word == "help" {
            self.wants_help = true;
            return Ok(());
        }
        self.command.push(word.to_string_lossy().into_owned());
        let mut before = self.command[..self.command.len() - 1].iter();
        let above = before.try_fold(self.program, |command, word| command.find_subcommand(word));
        match self.found() {
            Some(_) => Ok(()),
            // A command that takes any word says itself what it does not do.
            None if above.is_some_and(Command::is_allow_external_subcommands_set) => {
                self.is_elsewhere = true;
                Ok(())
            }
            None => Err(self.unknown_command()),
        }
    }

    fn unknown_command(&self) -> Failure {
        let (word, before) = self.command.split_last().expect("a word was just put there");
        let above = before.iter().try_fold(self.program, |command, word| command.find_subcommand(word));
        let names = above.into_iter().flat_map(Command::get_subcommands).map(Command::get_name);
        let hint = nearest(word, names).map_or_else(
            || "`linuxkit --help` lists the commands".to_owned(),
            |name| format!("did you mean `{name}`?"),
        );
        Failure::usage(format!("`linuxkit {}` is no command of linuxkit or lkit", self.command())).hint(hint)
    }

    fn flag(&mut self, given: Given<'a>, rest: &mut Rest<'a>) -> Result<(), Failure> {
        let command = self.command();
        match given.name {
            "help" | "h" => self.wants_help = true,
            "short" | "commit" if command == "version" => {
                self.wants_version = Some(if given.name == "short" { "short" } else { "commit" });
            }
            name => {
                if let Some(flag) = table::find(FLAGS, &command, name) {
                    return self.of_table(flag, given, rest);
                }
                if let Some(argument) = argument(self.own(), name) {
                    return self.of_lkit(argument, given, rest);
                }
                if let Some(flag) = table::find(NOT_DONE, &command, name) {
                    return self.of_table(flag, given, rest);
                }
                return self.short(given, rest);
            }
        }
        Ok(())
    }

    /// Takes a flag that linuxkit has in its own way.
    fn of_table(&mut self, flag: &Flag, given: Given<'a>, rest: &mut Rest<'a>) -> Result<(), Failure> {
        let value = match flag.takes {
            Takes::Value => Some(value(given, rest)?),
            Takes::Nothing if !is_on(given)? => return Ok(()),
            Takes::Nothing => None,
            Takes::PerhapsNumber => {
                let is_number = |word: &&OsString| word.as_bytes().iter().all(u8::is_ascii_digit);
                given.value.map(OsStr::to_owned).or_else(|| rest.next_if(is_number).cloned())
            }
        };
        match flag.becomes {
            Becomes::Idle(reason) => {
                self.warnings.push(format!("`{}` has no effect: {reason}", given.shown()));
                Ok(())
            }
            Becomes::Refused(reason, hint) => Err(not_done(&given.shown(), reason, hint)),
            Becomes::Written(written) => self.written(written, given, value.unwrap_or_default()),
        }
    }

    fn written(&mut self, written: Written, given: Given<'_>, value: OsString) -> Result<(), Failure> {
        match written {
            Written::Verbosity => self.verbosity = Some(self.verbosity_of(given, &value)?),
            Written::Cache => self.cache = Some(value),
            Written::Mirror => self.mirrors.push(value),
            Written::Certificates => self.certificates.push(value),
            Written::Dir => self.dir = Some(value),
            Written::Name => self.name = Some(value),
            Written::Port => self.port = Some(value),
            Written::Suffix(suffix) => self.suffix = Some(suffix),
            Written::Size => self.options.push(option("size", Some(&in_gib(value)))),
            Written::Network if value == "default" || value.is_empty() => {}
            Written::Network => self.options.push(option("networking", Some(&value))),
            Written::Accelerator => self.options.push(option("accel", Some(&first_choice(value)))),
        }
        Ok(())
    }

    /// How much is said: the number that was given, or one more than so far.
    fn verbosity_of(&self, given: Given<'_>, value: &OsStr) -> Result<u64, Failure> {
        if value.is_empty() {
            return Ok(self.verbosity.unwrap_or(1).max(1) + 1);
        }
        if let Some(is_on) = given.is_on().filter(|_| value.len() > 1) {
            return Ok(if is_on { 2 } else { 1 });
        }
        let number = value.to_str().and_then(|text| text.parse().ok());
        number.ok_or_else(|| {
            let message = format!("`{}={}` is no number", given.shown(), value.display());
            Failure::usage(message).hint("write 0 (quiet), 1 (the usual), 2 or 3")
        })
    }

    /// Takes an option of lkit.
    fn of_lkit(&mut self, argument: &Arg, given: Given<'a>, rest: &mut Rest<'a>) -> Result<(), Failure> {
        let name = argument.get_long().unwrap_or(given.name);
        let word = if !argument.get_action().takes_values() {
            is_on(given)?.then(|| option(name, None))
        } else if argument.is_require_equals_set() {
            Some(option(name, given.value))
        } else {
            Some(option(name, Some(&value(given, rest)?)))
        };
        self.options.extend(word);
        Ok(())
    }

    /// Takes letters behind one dash: `-v2`, `-vv`, `-ftar`, `-qftar`.
    fn short(&mut self, given: Given<'a>, rest: &mut Rest<'a>) -> Result<(), Failure> {
        let (first, more) = given.name.split_at(given.name.chars().next().map_or(0, char::len_utf8));
        let letter = Given { name: first, value: None, is_single: true };
        if given.is_single && first == "v" && !more.is_empty() && more.bytes().all(|byte| byte.is_ascii_digit()) {
            return self.flag(Given { value: Some(OsStr::new(more)), ..letter }, rest);
        }
        if !given.is_single || more.is_empty() || self.nearest(given.name).is_some() {
            return Err(self.unknown(given));
        }
        match argument(self.own(), first) {
            Some(found) if found.get_action().takes_values() => {
                let mut value = OsString::from(more);
                if let Some(end) = given.value {
                    value.push("=");
                    value.push(end);
                }
                self.options.push(option(found.get_long().unwrap_or(first), Some(&value)));
                Ok(())
            }
            Some(_) => {
                self.flag(letter, rest)?;
                self.flag(Given { name: more, ..given }, rest)
            }
            None => Err(self.unknown(given)),
        }
    }

    /// The flag that is most like a name.
    fn nearest(&self, name: &str) -> Option<&'a str> {
        let command = self.command();
        let known = FLAGS.iter().chain(NOT_DONE).filter(|flag| table::is_of(flag.of, &command)).map(|flag| flag.name);
        let longs = known.chain(self.own().get_arguments().filter_map(Arg::get_long));
        nearest(name, longs.filter(|name| name.len() > 1))
    }

    fn unknown(&self, given: Given<'_>) -> Failure {
        let command = self.command();
        let hint = match self.nearest(given.name) {
            Some(name) => format!("did you mean `--{name}`?"),
            None if command.is_empty() => "an option of a command stands behind the command".to_owned(),
            None => format!("`linuxkit {command} --help` lists the options"),
        };
        let what = if command.is_empty() { "linuxkit".to_owned() } else { format!("linuxkit {command}") };
        Failure::usage(format!("`{}` is no option of `{what}` or lkit", given.shown())).hint(hint)
    }
}

/// The option of a command that has this name, which may be one letter.
pub(super) fn argument<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    let is_letter = |argument: &Arg| argument.get_short().is_some_and(|short| short.to_string() == name);
    let is_long = |argument: &Arg| {
        let aliases = argument.get_all_aliases().unwrap_or_default();
        argument.get_long() == Some(name) || aliases.contains(&name)
    };
    command.get_arguments().find(|argument| is_long(argument) || is_letter(argument))
}

/// The value of a flag that has one.
fn value<'a>(given: Given<'a>, rest: &mut Rest<'a>) -> Result<OsString, Failure> {
    let value = given.value.map(OsStr::to_owned).or_else(|| rest.next().cloned());
    value.ok_or_else(|| {
        let flag = given.shown();
        Failure::usage(format!("`{flag}` has no value")).hint(format!("write `{flag}=VALUE`"))
    })
}

fn is_on(given: Given<'_>) -> Result<bool, Failure> {
    given.is_on().ok_or_else(|| {
        let message =
            format!("`{}` is on or off, and `{}` is neither", given.shown(), given.value.unwrap_or_default().display());
        Failure::usage(message).hint("write `=true` or `=false`, or nothing")
    })
}

/// A refusal of what lkit does not do.
fn not_done(what: &str, reason: &str, hint: &str) -> Failure {
    Failure::usage(format!("`{what}` is not done: {reason}")).hint(hint)
}

/// Whether a word names a place where lkit runs no machines, and no file.
fn is_elsewhere(word: &OsStr) -> bool {
    ELSEWHERE.iter().any(|place| word == *place) && !Path::new(word).exists()
}

/// A size with its unit: linuxkit means GiB where there is none.
fn in_gib(mut size: OsString) -> OsString {
    if size.as_bytes().last().is_some_and(u8::is_ascii_digit) {
        size.push("G");
    }
    size
}

/// `auto` for several accelerators, of which the first that works is meant.
fn first_choice(accelerator: OsString) -> OsString {
    if accelerator.as_bytes().contains(&b':') { "auto".into() } else { accelerator }
}
