//! Command lines of linuxkit beside what they come to.

use clap::CommandFactory as _;

use super::*;
use crate::cli::args::Args;

fn environment() -> Environment {
    Environment { home: Some("/h".into()), ..Environment::default() }
}

/// What a line comes to in this environment: words and warnings, or what is said.
fn come_to(text: &str, environment: &Environment) -> Result<(String, Vec<String>), String> {
    let mut program = Args::command();
    program.build();
    let words: Vec<OsString> = text.split(' ').filter(|word| !word.is_empty()).map(OsString::from).collect();
    match meant(&words, &program, environment).map_err(|failure| failure.rendered())? {
        Meant::Call { words, warnings } => {
            Ok((words.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" "), warnings))
        }
        Meant::Answer(text) => Ok((text, Vec::new())),
    }
}

fn line(text: &str) -> Result<String, String> {
    come_to(text, &environment()).map(|(words, _)| words)
}

/// Every line of `rows` comes to the second text, with the cache of linuxkit.
fn all_come_to(rows: &[(&str, &str)]) {
    for (typed, meant) in rows {
        assert_eq!(line(typed).as_deref(), Ok(meant.replace('~', "--cache=/h/.linuxkit/cache").as_str()), "{typed}");
    }
}

#[test]
fn a_program_called_linuxkit_takes_its_command_line() {
    let is = |words: &[&str]| {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        addressed(&words).map(|rest| rest.iter().map(|word| word.to_str().unwrap().to_owned()).collect::<Vec<_>>())
    };
    for words in [["linuxkit", "build"].as_slice(), &["/x/linuxkit", "build"], &["linuxkit-linux-amd64", "build"]] {
        assert_eq!(is(words), Some(vec!["build".to_owned()]));
    }
    assert_eq!(is(&["lkit", "linuxkit", "build"]), Some(vec!["build".to_owned()]));
    assert_eq!(is(&["lkit", "build", "linuxkit"]), None);
    assert_eq!(is(&["linuxkits", "build"]), None);
    assert_eq!(is(&[]), None);
}

#[test]
fn flags_have_one_dash_or_two_and_stand_before_and_behind_the_command() {
    all_come_to(&[
        ("build a.yml", "lkit build --sbom --as-linuxkit ~ -- a.yml"),
        ("build -format tar a.yml", "lkit build --format=tar --sbom --as-linuxkit ~ -- a.yml"),
        ("build --format=tar,iso-bios a.yml", "lkit build --format=tar,iso-bios --sbom --as-linuxkit ~ -- a.yml"),
        ("build a.yml -ftar", "lkit build --format=tar --sbom --as-linuxkit ~ -- a.yml"),
        ("build -pull=true -docker=false -o - a.yml", "lkit build --pull --output=- --sbom --as-linuxkit ~ -- a.yml"),
        ("build --o x a.yml b.yml", "lkit build --output=x --sbom --as-linuxkit ~ -- a.yml b.yml"),
        ("--cache /c build a.yml", "lkit build --sbom --as-linuxkit --cache=/c -- a.yml"),
        ("build -cache=/c a.yml", "lkit build --sbom --as-linuxkit --cache=/c -- a.yml"),
        ("--cert-file x build a.yml", "lkit build --sbom --as-linuxkit ~ --ca=x -- a.yml"),
        ("--cert-file x cache ls", "lkit cache ls ~"),
        ("build --offline --layout l -- -a.yml", "lkit build --offline --layout=l --sbom --as-linuxkit ~ -- -a.yml"),
        ("inspect --largest a.yml", "lkit inspect --largest ~ -- a.yml"),
        ("umount /m", "lkit umount -- /m"),
    ]);
}

#[test]
fn a_directory_is_served_where_linuxkit_serves_it() {
    all_come_to(&[
        ("serve", "lkit serve --directory=. --listen=http://*:8080 --insecure-listen -v"),
        (
            "serve -directory out -port :9000 -v 1",
            "lkit serve --directory=out --listen=http://*:9000 --insecure-listen",
        ),
        ("serve -port 127.0.0.1:80", "lkit serve --directory=. --listen=http://127.0.0.1:80 -v"),
        ("serve -q -port 8080", "lkit serve --quiet --directory=. --listen=http://*:8080 --insecure-listen"),
        ("serve --listen http://[::1]:1 a", "lkit serve --listen=http://[::1]:1 ~ -- a"),
    ]);
    let (_, warnings) = come_to("serve", &environment()).unwrap();
    let told = "every machine that reaches port 8080 of this one can read the directory, as with linuxkit; \
                `--port 127.0.0.1:8080` serves this one alone";
    assert_eq!(warnings, [told]);
    assert_eq!(come_to("serve -port localhost:80", &environment()).unwrap().1, [""; 0]);
}

#[test]
fn verbosity_is_a_number_or_was_none() {
    all_come_to(&[
        ("-v 2 build a", "lkit build --sbom --as-linuxkit -v ~ -- a"),
        ("build -v 3 a", "lkit build --sbom --as-linuxkit -vv ~ -- a"),
        ("build --verbose=2 a", "lkit build --sbom --as-linuxkit -v ~ -- a"),
        ("-v2 build a", "lkit build --sbom --as-linuxkit -v ~ -- a"),
        ("-v build a", "lkit build --sbom --as-linuxkit -v ~ -- a"),
        ("-vv build a", "lkit build --sbom --as-linuxkit -vv ~ -- a"),
        ("-v=false build a", "lkit build --sbom --as-linuxkit ~ -- a"),
        ("-v 1 build a", "lkit build --sbom --as-linuxkit ~ -- a"),
        ("--verbose 0 build a", "lkit build --sbom --as-linuxkit -q ~ -- a"),
        ("-q build a", "lkit build --quiet --sbom --as-linuxkit ~ -- a"),
    ]);
    let said = line("-v=much build a").unwrap_err();
    assert_eq!(said, "error: `-v=much` is no number\n\nhint: write 0 (quiet), 1 (the usual), 2 or 3\n");
}

#[test]
fn files_are_called_what_linuxkit_calls_them() {
    all_come_to(&[
        ("build -", "lkit build --name=moby --sbom --as-linuxkit ~ -- -"),
        ("build -o x -", "lkit build --output=x --sbom --as-linuxkit ~ -- -"),
        ("build --name n --dir d a", "lkit build --dir=d --name=n --sbom --as-linuxkit ~ -- a"),
        ("build -name out/n a", "lkit build --dir=out --name=n --sbom --as-linuxkit ~ -- a"),
        ("build -dir d -name out/n a", "lkit build --dir=d/out --name=n --sbom --as-linuxkit ~ -- a"),
        ("build -name /out/n a", "lkit build --dir=/out --name=n --sbom --as-linuxkit ~ -- a"),
        ("build -size 2 a", "lkit build --size=2G --sbom --as-linuxkit ~ -- a"),
        ("build -size 512M a", "lkit build --size=512M --sbom --as-linuxkit ~ -- a"),
    ]);
}

#[test]
fn machines_keep_their_state_beside_their_files() {
    all_come_to(&[
        ("run a", "lkit run --state=a-state ~ -- a"),
        ("run qemu --mem 2048 a.iso", "lkit run --mem=2048 --state=a-state ~ -- qemu a.iso"),
        ("run qemu -kernel d/a", "lkit run --state=d/a-state ~ -- qemu d/a-initrd.img"),
        ("run --squashfs a", "lkit run --state=a-state ~ -- a-squashfs.img"),
        ("run a-efi.img", "lkit run --state=a-efi.img-state ~ -- a-efi.img"),
        ("run -state s -publish 80:80/tcp a.yml", "lkit run --state=s --publish=80:80/tcp ~ -- a.yml"),
        ("run /mnt/lk/", "lkit run --state=/mnt/lk-state ~ -- /mnt/lk/"),
        ("run -networking default http://h/a.yml", "lkit run ~ -- http://h/a.yml"),
        ("run --accel kvm:tcg a", "lkit run --accel=auto --state=a-state ~ -- a"),
        ("run gcp -project p -zone z a.img.tar.gz", "lkit run ~ -- gcp"),
    ]);
    let slow = Environment { accelerator: Some("tcg".into()), ..environment() };
    let (words, _) = come_to("run --accel kvm --cache c a", &slow).unwrap();
    assert_eq!(words, "lkit run --state=a-state --accel=tcg --cache=c -- a");
    let (words, _) = come_to("run hyperkit --cache c a", &slow).unwrap();
    assert_eq!(words, "lkit run --state=a-state --cache=c -- hyperkit a");
}

#[test]
fn the_cache_has_linuxkits_meanings() {
    all_come_to(&[
        ("cache clean", "lkit cache clean --all ~"),
        ("cache clean --layout l", "lkit cache clean --layout=l ~"),
        ("cache ls", "lkit cache ls ~"),
        ("cache rm a:1 b:2", "lkit cache rm ~ -- a:1 b:2"),
        ("cache pull nginx", "lkit cache pull --platform=all ~ -- nginx"),
        ("cache pull --platform linux/arm64 nginx", "lkit cache pull --platform=linux/arm64 ~ -- nginx"),
        ("cache export --outfile - --format docker nginx", "lkit cache export --output=- --format=docker ~ -- nginx"),
        ("cache import -", "lkit cache import ~ -- -"),
        ("cache push --remote-name x/y:1 nginx", "lkit cache push --to=x/y:1 ~ -- nginx"),
    ]);
}

#[test]
fn clouds_are_pushed_to_with_linuxkits_flags() {
    all_come_to(&[
        ("push aws -bucket b -timeout 1200 a.raw", "lkit push aws --bucket=b --timeout=1200 ~ -- a.raw"),
        (
            "push aws -ena -uefi=true -sriov simple -img-name n a.raw",
            "lkit push aws --ena --uefi --sriov=simple --img-name=n ~ -- a.raw",
        ),
        (
            "push azure -resource-group g -storage-account s a.vhd",
            "lkit push azure --resource-group=g --storage-account=s --overwrite ~ -- a.vhd",
        ),
        ("push openstack -img-name n a.iso", "lkit push openstack --img-name=n ~ -- a.iso"),
        ("push vcenter -datastore d a.iso", "lkit push vcenter"),
    ]);
}

#[test]
fn the_environment_comes_after_flags() {
    let given = Environment {
        cache: Some("/e".into()),
        own_cache: Some("/own".into()),
        mirrors: Some("docker.io=http://a, http://b".into()),
        ..environment()
    };
    let rows = [
        ("build a", "lkit build --sbom --as-linuxkit --cache=/e --mirror=*=http://b --mirror=docker.io=http://a -- a"),
        ("--mirror http://c cache ls", "lkit cache ls --cache=/e"),
        (
            "--mirror http://c --cache /f build a",
            "lkit build --sbom --as-linuxkit --cache=/f --mirror=*=http://c --mirror=*=http://b --mirror=docker.io=http://a -- a",
        ),
    ];
    for (typed, meant) in rows {
        assert_eq!(come_to(typed, &given), Ok((meant.to_owned(), Vec::new())), "{typed}");
    }
    let own = Environment { own_cache: Some("/own".into()), ..environment() };
    assert_eq!(come_to("cache ls", &own).unwrap().0, "lkit cache ls --cache=/own");
}

#[test]
fn nothing_is_ignored_in_silence() {
    let configured = Environment { config: Some("c.yml".into()), ..environment() };
    let (words, warnings) = come_to("build -disable-content-trust a", &configured).unwrap();
    assert_eq!(words, "lkit build --sbom --as-linuxkit --cache=/h/.linuxkit/cache -- a");
    let expected = [
        "`-disable-content-trust` has no effect: digests tell images apart here, and nobody is asked for signatures of tags",
        "`LINUXKIT_CONFIG` has no effect: nothing that linuxkit's configuration says is used",
    ];
    assert_eq!(warnings, expected);
    assert_eq!(come_to("-v 0 build -disable-content-trust a", &configured).unwrap().1, [""; 0]);
}

#[test]
fn what_is_not_done_is_told_with_what_to_do() {
    let rows = [
        (
            "cache clean --published-only",
            "`--published-only` is not done: no registry is asked what it has when images are removed",
            "name the images to remove: `cache rm IMAGE…`",
        ),
        ("build -formt tar a", "`-formt` is no option of `linuxkit build` or lkit", "did you mean `--format`?"),
        ("buidl a", "`linuxkit buidl` is no command of linuxkit or lkit", "did you mean `build`?"),
        ("build -format", "`-format` has no value", "write `-format=VALUE`"),
        ("build -pull=2 a", "`-pull` is on or off, and `2` is neither", "write `=true` or `=false`, or nothing"),
        (
            "-format tar build a",
            "`-format` is no option of `linuxkit` or lkit",
            "an option of a command stands behind the command",
        ),
    ];
    for (typed, said, hint) in rows {
        assert_eq!(line(typed), Err(format!("error: {said}\n\nhint: {hint}\n")), "{typed}");
    }
}

#[test]
fn the_version_and_the_help_are_answered() {
    let own = env!("CARGO_PKG_VERSION");
    assert_eq!(line("version"), Ok(format!("linuxkit version v1.8.2 (lkit {own})\n")));
    assert_eq!(line("version --short"), Ok("v1.8.2\n".to_owned()));
    assert!(line("version -commit").unwrap_err().contains("no commit of linuxkit"));
    for typed in ["", "--help", "help", "build -h", "help build"] {
        assert!(
            line(typed).unwrap().starts_with("The command line of linuxkit v1.8.2, as lkit takes it.\n"),
            "{typed}"
        );
    }
    assert!(line("help build").unwrap().contains("  --size VALUE\n") && line("build -h").unwrap().contains("--digest"));
}

#[test]
fn every_flag_of_the_table_is_taken_or_refused_by_name() {
    for flag in FLAGS.iter().chain(NOT_DONE) {
        let command = if flag.of.is_empty() { "build" } else { flag.of };
        let value = if flag.takes == table::Takes::Value { " 1" } else { "" };
        let said = line(&format!("{command} --{}{value} a", flag.name));
        let is_told = |text: &String| text.contains("` is not done: ");
        assert!(said.as_ref().map_or_else(is_told, |_| true), "{} {}: {said:?}", flag.of, flag.name);
    }
}
