//! Command lines as people type them who know other programs: mount(8), which names no command, and linuxkit, whose long
//! options had one dash.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::Command;

use super::report::Failure;
use super::{built, linuxkit};

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
pub fn understood(words: Vec<OsString>, program: &Command) -> Result<Vec<OsString>, Failure> {
    let first = words.get(1).and_then(|word| word.to_str()).unwrap_or_default();
    if first.starts_with('-') || program.find_subcommand(first).is_some() {
        check_flags(program, &words)?;
        return Ok(words);
    }
    match &words[..] {
        [lkit, spec, dir, flag, options] if flag == "-o" => {
            let options = mount_options(program, options)?;
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
    let mount = built(program.find_subcommand("mount").expect("it is one of our commands"));
    let mut words = Vec::new();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
        let long = if name == "noexec" { "no-exec".to_owned() } else { name.replace('_', "-") };
        match value {
            _ if SETTLED.contains(&option) || name.starts_with("x-") => {}
            _ if !has_long(&mount, &long) => return Err(unknown_option(&mount, name)),
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

/// Refuses flags as linuxkit takes them: `-format`, which would be read as `-f ormat`, `-v 2`, and those that lkit's
/// command does not have.
fn check_flags(program: &Command, words: &[OsString]) -> Result<(), Failure> {
    let texts = || words.iter().skip(1).map_while(|word| word.to_str().filter(|word| *word != "--"));
    let first = texts().find_map(|word| program.find_subcommand(word)).map(built);
    let mut path: Vec<&Command> = first.iter().collect();
    for word in texts() {
        path.extend(path.last().copied().and_then(|above| above.find_subcommand(word)));
    }
    let command = path.last().copied().unwrap_or(program);
    // Those of the program are its commands' as well, and parsers get two more when they are built.
    let is_long = |name: &str| longs(command).chain(longs(program)).chain(["help", "version"]).any(|long| long == name);
    let name = path.iter().map(|command| command.get_name()).collect::<Vec<_>>().join(" ");
    let line = format!("`lkit linuxkit {name} …`, which takes linuxkit's flags").replace("  ", " ");
    for (word, next) in texts().zip(texts().skip(1).map(Some).chain([None])) {
        let Some(rest) = word.strip_prefix('-') else { continue };
        let flag = rest.trim_start_matches('-').split('=').next().unwrap_or_default();
        let is_number = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit()) && !Path::new(word).exists();
        if ["v", "verbose"].contains(&flag) && next.is_some_and(is_number) {
            return Err(Failure::usage(format!("`{word}` takes no number"))
                .hint(format!("write `-v`, or `-vv` for everything, or call {line}")));
        }
        if flag.len() > 1 && !rest.starts_with('-') && is_long(flag) {
            return Err(Failure::usage(format!("`-{flag}` has one dash, and long options have two"))
                .hint(format!("write `--{flag}`, or call {line}")));
        }
        if flag.len() > 1
            && ![program, command].iter().any(|command| has_any(command, flag))
            && linuxkit::has_flag(&name, flag)
        {
            return Err(Failure::usage(format!("`{word}` is linuxkit's and not lkit's")).hint(format!("call {line}")));
        }
    }
    Ok(())
}

/// Whether a command has a long option of this name, be it one that its help does not tell.
fn has_any(command: &Command, name: &str) -> bool {
    command.get_arguments().any(|argument| {
        argument.get_long() == Some(name) || argument.get_all_aliases().unwrap_or_default().contains(&name)
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::args::Args;

    /// What a line comes to: its words, or what is said.
    fn line(text: &str) -> Result<String, String> {
        let program = Args::command();
        let words = understood(text.split(' ').map(OsString::from).collect(), &program);
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
        for typed in [
            "lkit",
            "lkit --version",
            "lkit build -f iso-bios a.yml",
            "lkit run -p 80:80 a",
            "lkit mount -- -name",
            "lkit build -vv --docker a",
        ] {
            assert_eq!(line(typed).as_deref(), Ok(typed));
        }
    }

    #[test]
    fn flags_as_linuxkit_takes_them_are_told_how_they_are_written() {
        let rows = [
            (
                "build -format tar a",
                "`-format` has one dash, and long options have two",
                "write `--format`, or ",
                "build ",
            ),
            ("run -mem=1G a", "`-mem` has one dash, and long options have two", "write `--mem`, or ", "run "),
            ("build -v 2 a", "`-v` takes no number", "write `-v`, or `-vv` for everything, or ", "build "),
            (
                "--verbose 2 build a",
                "`--verbose` takes no number",
                "write `-v`, or `-vv` for everything, or ",
                "build ",
            ),
            ("build --disable-content-trust a", "`--disable-content-trust` is linuxkit's and not lkit's", "", "build "),
            (
                "run qemu -kernel a",
                "`-kernel` has one dash, and long options have two",
                "write `--kernel`, or ",
                "run ",
            ),
            ("run --vpnkit x a", "`--vpnkit` is linuxkit's and not lkit's", "", "run "),
            ("cache rm a --published-only", "`--published-only` is linuxkit's and not lkit's", "", "cache rm "),
        ];
        for (typed, said, hint, command) in rows {
            let hint = format!("{hint}call `lkit linuxkit {command}…`, which takes linuxkit's flags");
            assert_eq!(line(&format!("lkit {typed}")), Err(format!("error: {said}\n\nhint: {hint}\n")), "{typed}");
        }
    }
}
