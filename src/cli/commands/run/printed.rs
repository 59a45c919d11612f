//! What a dry run prints: the commands that do by hand what would be done, for a shell.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::aside::Aside;
use super::{CONFIG, DATA, Prepared, Wanted};
use crate::base::{is_url, shell_line, shell_line_on};
use crate::cli::args;
use crate::vm::{Ability, Monitor, Server, local};

/// The commands around those of a machine that starts from specs, which are mounted on `dir`.
pub fn steps(specs: &[PathBuf], options: &[OsString], dir: &Path, machine: &str) -> String {
    let mount = words("mount", options, specs).into_iter();
    let [make, mount, end] = [
        shell_line_on(&["mkdir", "-p"], dir),
        shell_line(mount.chain([dir.into()])),
        shell_line_on(&["lkit", "umount"], dir),
    ];
    format!("{make}\n{mount}\n{machine}{end}\n")
}

/// The same of a machine whose disk is an artifact behind a socket.
pub fn server_steps(
    specs: &[PathBuf],
    options: &[OsString],
    (socket, artifact): (&Path, &str),
    machine: &str,
) -> String {
    let mut disk = socket.as_os_str().to_owned();
    disk.push(format!("={artifact}"));
    let options = [&["--vhost-user".into(), disk], options].concat();
    let server = shell_line(words("serve", &options, specs));
    let socket = shell_line([socket]);
    format!(
        "{server} & server=$!\nuntil [ -S {socket} ] || ! kill -0 $server; do sleep 0.1; done\n{machine}kill $server\n"
    )
}

/// `lkit COMMAND` for these specs, with these options.
fn words(command: &str, options: &[OsString], specs: &[PathBuf]) -> Vec<OsString> {
    let is_file = |spec: &Path| spec != Path::new("-") && !is_url(&spec.to_string_lossy());
    let specs = specs.iter().map(|spec| if is_file(spec) { local(spec) } else { spec.clone() }.into_os_string());
    ["lkit", command].map(OsString::from).into_iter().chain(options.iter().cloned()).chain(specs).collect()
}

/// The commands that make what else a machine needs, and start the servers of its shares.
pub fn made(aside: &Aside, wanted: &Wanted, prepared: &Prepared) -> Vec<String> {
    let mut lines = Vec::new();
    if wanted.metadata.is_some() {
        lines.push(metadata(&aside.file(DATA), &wanted.args.devices, wanted.monitor));
    }
    if let Some(config) = &prepared.config {
        let print = shell_line([OsStr::new("printf"), OsStr::new("%s"), OsStr::from_bytes(config)]);
        lines.push(format!("{print} >{}", shell_line([aside.file(CONFIG)])));
    }
    lines.extend(prepared.servers.iter().map(Server::on_its_own).map(|line| format!("{line} &")));
    if let Some(state) = wanted.args.state.as_ref().filter(|state| !state.exists()) {
        lines.insert(0, shell_line([OsStr::new("mkdir"), OsStr::new("-p"), local(state).as_os_str()]));
    }
    lines
}

fn metadata(iso: &Path, devices: &args::Devices, monitor: Monitor) -> String {
    let mut words = ["lkit", "metadata", "create"].map(OsString::from).to_vec();
    if !monitor.can(Ability::Cds) {
        words.push("--cidata".into());
    }
    match (&devices.data_file, &devices.data) {
        (Some(file), _) => words.extend(["--data-file".into(), local(file).into(), iso.into()]),
        (None, data) => words.extend(["--".into(), iso.into()].into_iter().chain(data.clone())),
    }
    shell_line(words)
}
