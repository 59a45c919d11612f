//! Command lines as people type them who know other programs: mount(8), which names no command, and linuxkit, whose long
//! options had one dash.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::{Command, CommandFactory as _};

use super::args::Args;
use super::report::Failure;

/// Options of mount(8) that are for mount(8) itself, or are so in every mount: read-only, without devices and
/// set-user-ID programs.
const SETTLED: [&str; 19] = [
    "auto", "noauto", "defaults", "dev", "nodev", "suid", "nosuid", "exec", "ro", "rw", "user", "nouser", "users",
    "owner", "group", "nofail", "_netdev", "async", "relatime",
];

/// The arguments as our parser takes them, the name of the program first.
///
/// # Errors
/// When an option of a mount is not known, a long option has one dash, or there is no command.
pub fn understood(words: Vec<OsString>) -> Result<Vec<OsString>, Failure> {
    let mut program = Args::command();
    program.build();
    let first = words.get(1).and_then(|word| word.to_str()).unwrap_or_default();
    if first.starts_with('-') || program.find_subcommand(first).is_some() {
        check_dashes(&program, &words)?;
        return Ok(words);
    }
    match &words[..] {
        [lkit, spec, dir, flag, options] if flag == "-o" => {
            let options = mount_options(&program, options)?;
            let head = [lkit.clone(), "mount".into()].into_iter().chain(options);
            Ok(head.chain(["--".into(), spec.clone(), dir.clone()]).collect())
        }
        [_, spec, ..] if Path::new(spec).is_file() => {
            let spec = Path::new(spec).display();
            Err(Failure::usage(format!("`{spec}` is no command of lkit"))
                .hint(format!("did you mean `lkit mount {spec} DIR` or `lkit build {spec}`?")))
        }
        _ => Ok(words),
    }
}

/// What the `-o` of mount(8) means as options of `lkit mount`.
fn mount_options(program: &Command, options: &OsStr) -> Result<Vec<OsString>, Failure> {
    let options = options.to_str().ok_or_else(|| Failure::usage("mount options are text"))?;
    let mount = program.find_subcommand("mount").expect("it is one of our commands");
    let mut words = Vec::new();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
        let long = if name == "noexec" { "no-exec".to_owned() } else { name.replace('_', "-") };
        match value {
            _ if SETTLED.contains(&option) || name.starts_with("x-") => {}
            _ if !has_long(mount, &long) => return Err(unknown_option(mount, name)),
            Some(value) => words.push(format!("--{long}={value}").into()),
            None => words.push(format!("--{long}").into()),
        }
    }
    Ok(words)
}

fn unknown_option(mount: &Command, name: &str) -> Failure {
    let known: Vec<&str> = longs(mount).collect();
    let meant = crate::base::nearest(name, known.iter().copied().chain(SETTLED));
    let hint = meant.map_or_else(
        || "take those of `lkit mount --help`, without their dashes".to_owned(),
        |meant| format!("did you mean `{meant}`?"),
    );
    Failure::usage(format!("mount option `{name}` is not known")).hint(hint)
}

/// Long options of a command.
fn longs(command: &Command) -> impl Iterator<Item = &str> {
    command.get_arguments().flat_map(|argument| argument.get_long_and_visible_aliases().unwrap_or_default())
}

fn has_long(command: &Command, name: &str) -> bool {
    longs(command).any(|long| long == name)
}

/// Refuses `-format` for `--format`: it would be read as `-f ormat`.
fn check_dashes(program: &Command, words: &[OsString]) -> Result<(), Failure> {
    let texts = || words.iter().skip(1).map_while(|word| word.to_str().filter(|word| *word != "--"));
    let command = texts().find_map(|word| program.find_subcommand(word)).unwrap_or(program);
    let single = texts().filter_map(|word| word.strip_prefix('-')).filter(|rest| !rest.starts_with('-'));
    let names = single.map(|rest| rest.split('=').next().unwrap_or(rest)).filter(|name| name.len() > 1);
    match names.into_iter().find(|name| has_long(command, name)) {
        Some(name) => Err(Failure::usage(format!("`-{name}` has one dash, and long options have two"))
            .hint(format!("write `--{name}`"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a line comes to: its words, or what is said.
    fn line(text: &str) -> Result<String, String> {
        let words = understood(text.split(' ').map(OsString::from).collect());
        let words = words.map_err(|failure| failure.rendered())?;
        Ok(words.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn what_mount_calls_is_a_mount() {
        let rows = [
            ("lkit a.yml /mnt -o ro,noauto,nofail,_netdev,x-systemd.automount,dev,suid", "lkit mount -- a.yml /mnt"),
            ("lkit a.yml m -o rw,layout=/l,offline", "lkit mount --layout=/l --offline -- a.yml m"),
            ("lkit a m -o noexec,nosuid,nodev,user,allow_other", "lkit mount --no-exec --allow-other -- a m"),
            ("lkit a m -o artifact_mode=0440,cache=/c", "lkit mount --artifact-mode=0440 --cache=/c -- a m"),
        ];
        for (typed, meant) in rows {
            assert_eq!(line(typed).as_deref(), Ok(meant), "{typed}");
        }
        let refused = line("lkit a.yml m -o ro,ofline").unwrap_err();
        assert_eq!(refused, "error: mount option `ofline` is not known\n\nhint: did you mean `offline`?\n");
    }

    #[test]
    fn other_lines_stay_as_they_are() {
        for typed in
            ["lkit", "lkit --version", "lkit build -f iso-bios a.yml", "lkit run -p 80:80 a", "lkit mount -- -name"]
        {
            assert_eq!(line(typed).as_deref(), Ok(typed));
        }
    }

    #[test]
    fn a_long_option_with_one_dash_is_told_how_it_is_written() {
        for (typed, name) in [("build -format tar a", "format"), ("run -mem=1G a", "mem"), ("build -name x a", "name")]
        {
            let expected =
                format!("error: `-{name}` has one dash, and long options have two\n\nhint: write `--{name}`\n");
            assert_eq!(line(&format!("lkit {typed}")), Err(expected));
        }
    }
}
