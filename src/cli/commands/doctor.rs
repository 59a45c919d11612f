//! `lkit doctor`: what works on this machine, what is missing, and how each of it is mended.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::json;

use super::run::usual_firmware;
use crate::base::{Fault, GIB, Hasher, Platform, command, in_line, printable_line};
use crate::cli::args;
use crate::cli::report::{self, Failure};
use crate::cli::settings::{cache_dir, credentials};
use crate::serve::{self, MountOptions, check_mount, check_target};
use crate::system;
use crate::vm::{Accelerator, find_program, qemu_program, run_guest};

/// How long the guest of a few instructions may take. It takes a millisecond where KVM works.
const PATIENCE: Duration = Duration::from_secs(5);
/// What the process that runs the guest says when all went well.
const HALTED: &str = "halted";
/// Less free space than this is too little for most systems, in bytes.
const LEAST_SPACE: u64 = GIB;

/// How a part of the machine is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It works.
    Good,
    /// Something that can be done without is missing.
    Lacking,
    /// Nothing can be mounted without it.
    Broken,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Lacking => "lacking",
            Self::Broken => "broken",
        }
    }
}

/// What was found out about one part.
struct Finding {
    part: &'static str,
    state: State,
    found: String,
    mend: Option<String>,
}

impl Finding {
    fn good(part: &'static str, found: impl Into<String>) -> Self {
        Self { part, state: State::Good, found: found.into(), mend: None }
    }

    fn lacking(part: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { part, state: State::Lacking, found: found.into(), mend: Some(mend.into()) }
    }

    fn broken(part: &'static str, error: &dyn Fault) -> Self {
        Self { part, state: State::Broken, found: in_line(error), mend: error.hint() }
    }
}

/// Looks at everything and prints what was found; fails when something is broken.
pub fn run(args: args::Doctor) -> Result<ExitCode, Failure> {
    if args.probe_kvm {
        run_guest().map_err(|error| Failure::io("KVM does not run a guest", &error))?;
        report::print(HALTED)?;
        return Ok(ExitCode::SUCCESS);
    }
    let of_linux = |finding: fn() -> Finding| cfg!(target_os = "linux").then(finding);
    let mounting = [Some(fuse()), of_linux(fusermount), of_linux(allow_other)];
    let running = [Some(qemu()), Some(firmware()), of_linux(kvm), Some(login())];
    let mut findings: Vec<Finding> = mounting.into_iter().chain(running).flatten().collect();
    findings.extend(cache(&cache_dir(args.cache)?));
    report::print(&if args.json { in_json(&findings) } else { in_lines(&findings) })?;
    let is_broken = findings.iter().any(|finding| finding.state == State::Broken);
    Ok(if is_broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn in_lines(findings: &[Finding]) -> String {
    let line = |finding: &Finding| {
        let Finding { part, state, found, mend } = finding;
        let mend = mend.iter().map(|mend| format!("{:20}mend: {}\n", "", printable_line(mend))).collect::<String>();
        format!("{:8}{part:12}{}\n{mend}", state.name(), printable_line(found))
    };
    findings.iter().map(line).collect()
}

fn in_json(findings: &[Finding]) -> String {
    let one = |finding: &Finding| {
        let Finding { part, state, found, mend } = finding;
        json!({"part": part, "state": state.name(), "found": found, "mend": mend})
    };
    format!("{:#}\n", json!({"findings": findings.iter().map(one).collect::<Vec<_>>()}))
}

fn fuse() -> Finding {
    match check_mount(MountOptions::default()) {
        Ok(()) if cfg!(target_os = "macos") => Finding::good("fuse", "macFUSE is installed"),
        Ok(()) => Finding::good("fuse", "`/dev/fuse` can be used"),
        Err(error) => Finding::broken("fuse", &error),
    }
}

fn fusermount() -> Finding {
    match serve::helper() {
        Some(path) => Finding::good("fusermount3", format!("`{}`", path.display())),
        None => Finding::lacking("fusermount3", "missing: only root can mount", "install the package `fuse3`"),
    }
}

fn allow_other() -> Finding {
    if serve::lets_users_allow_other() {
        return Finding::good("allow-other", "ordinary users may open their mounts to others");
    }
    let mend = "add a line `user_allow_other` to `/etc/fuse.conf`";
    Finding::lacking("allow-other", "only root may use `--allow-other`", mend)
}

fn qemu() -> Finding {
    let Ok((program, package)) = qemu_program(&Platform::host().architecture) else {
        return Finding::lacking("qemu", "there is no machine for this processor", "run guests on another machine");
    };
    match find_program(Path::new(program)) {
        Some(path) => Finding::good("qemu", format!("`{}`", path.display())),
        None => {
            let mend = format!("install it with `apt-get install {package}`");
            Finding::lacking("qemu", format!("`{program}` is missing: `lkit run` needs it"), mend)
        }
    }
}

fn firmware() -> Finding {
    let (path, package) = usual_firmware(&Platform::host().architecture);
    if Path::new(path).is_file() {
        return Finding::good("firmware", format!("`{path}`"));
    }
    let mend = format!("install it with `apt-get install {package}`");
    Finding::lacking("firmware", format!("`{path}` is missing: `lkit run --uefi` needs it"), mend)
}

fn kvm() -> Finding {
    let mend = "run guests with `--accel tcg`, which is slow, or on a machine with virtualization";
    if let Err(error) = File::options().read(true).write(true).open("/dev/kvm") {
        return Finding::lacking("kvm", format!("cannot open `/dev/kvm`: {error}"), mend);
    }
    match guest_halts() {
        Ok(Some(true)) if Accelerator::is_kvm_best() => Finding::good("kvm", "a guest of a few instructions ran"),
        Ok(Some(true)) => {
            let found =
                "not proved: a guest of a few instructions ran, but the processor does not say that it runs guests";
            Finding::lacking("kvm", found, mend)
        }
        Ok(Some(false)) => Finding::lacking("kvm", "a guest of a few instructions did not run", mend),
        Ok(None) => {
            let found = format!("not proved: a guest of a few instructions hung for {} seconds", PATIENCE.as_secs());
            Finding::lacking("kvm", found, mend)
        }
        Err(error) => Finding::lacking("kvm", format!("not proved: {error}"), mend),
    }
}

/// Runs the guest in a process of its own, which is given up when it takes too long; nothing then.
fn guest_halts() -> io::Result<Option<bool>> {
    let mut command = command(std::env::current_exe()?);
    command.args(["doctor", "--probe-kvm"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    let mut output = child.stdout.take().ok_or_else(|| io::Error::other("the guest has no output"))?;
    let (send, said) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        // Sending fails when the wait below has timed out; the answer is no longer needed then.
        let _ = send.send(output.read_to_string(&mut text).map(|_| text));
    });
    let Ok(said) = said.recv_timeout(PATIENCE) else {
        // A process that hangs in the kernel may take its time to end, so nobody waits for it.
        child.kill()?;
        return Ok(None);
    };
    child.wait()?;
    Ok(Some(said? == HALTED))
}

fn login() -> Finding {
    match credentials().user("docker.io") {
        Ok(Some(user)) => Finding::good("login", format!("docker.io is asked as `{user}`")),
        Ok(None) => {
            let found = "there is no login for docker.io, which then allows fewer pulls an hour";
            Finding::lacking("login", found, "log in with `docker login`")
        }
        Err(complaint) => Finding::lacking("login", complaint, "log in again with `docker login`"),
    }
}

/// The cache: whether it can be written to, has room, and holds what its names say.
fn cache(dir: &Path) -> Vec<Finding> {
    if !dir.exists() {
        let above = dir.ancestors().skip(1).find(|above| above.exists()).unwrap_or(Path::new("."));
        return vec![match check_target(&above.join("new")).is_ok() {
            true => Finding::good("cache", format!("`{}` is made when it is first needed", dir.display())),
            false => {
                let found = format!("`{}` cannot be made", dir.display());
                Finding::lacking("cache", found, "name a directory that you may write to with `--cache DIR`")
            }
        }];
    }
    if let Err(error) = system::store(dir, &[]) {
        let found = format!("`{}` cannot be used: {}", dir.display(), in_line(&error));
        let mend = Some("name another one with `--cache DIR`, or remove it".to_owned());
        return vec![Finding { part: "cache", state: State::Broken, found, mend }];
    }
    let writable = match check_target(&dir.join("new")) {
        Ok(()) => Finding::good("cache", format!("`{}` can be written to", dir.display())),
        Err(_) => {
            let found = format!("`{}` can only be read", dir.display());
            Finding::lacking("cache", found, "name another one with `--cache DIR` to add images")
        }
    };
    vec![writable, space(dir), damage(dir)]
}

fn space(dir: &Path) -> Finding {
    let free = match rustix::fs::statvfs(dir) {
        Ok(found) => found.f_bavail.saturating_mul(found.f_frsize),
        Err(error) => return Finding::lacking("space", error.to_string(), "look at the disk of the cache"),
    };
    let found = format!("{} MiB are free for the cache", free >> 20);
    match free < LEAST_SPACE {
        true => Finding::lacking("space", found, "make room, or remove what is not needed with `lkit cache clean`"),
        false => Finding::good("space", found),
    }
}

fn damage(dir: &Path) -> Finding {
    let entries = fs::read_dir(dir.join("blobs/sha256")).into_iter().flatten().filter_map(Result::ok);
    let blobs: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    let damaged: Vec<String> =
        blobs.iter().filter(|path| !is_whole(path)).map(|path| format!("`{}`", path.display())).collect();
    match damaged.is_empty() {
        true => Finding::good("blobs", format!("all {} in the cache are what their names say", blobs.len())),
        false => {
            let found =
                format!("{} of {} in the cache are damaged: {}", damaged.len(), blobs.len(), damaged.join(", "));
            Finding::lacking("blobs", found, "remove these files; they are fetched again")
        }
    }
}

/// Whether a blob has the digest that its name says.
fn is_whole(path: &Path) -> bool {
    let mut hash = Hasher::default();
    let read = File::open(path).and_then(|mut file| io::copy(&mut file, &mut hash));
    let digest = hash.finish();
    read.is_ok() && path.file_name().is_some_and(|name| name == digest.hex().as_str())
}
