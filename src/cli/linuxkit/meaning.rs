//! What a whole command line of linuxkit comes to: its defaults filled in, its answers given.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::line::{Line, argument};
use super::word::option;
use super::{Meant, VERSION, help};
use crate::base::is_url;
use crate::cli::report::Failure;
use crate::vm::Monitor;

/// What files are called whose spec came from standard input.
const UNNAMED: &str = "moby";
/// Where a directory is served unless the line says where.
const PORT: &str = ":8080";

impl Line<'_> {
    /// What it means.
    ///
    /// # Errors
    /// When what it asks for cannot be answered.
    pub fn meant(mut self) -> Result<Meant, Failure> {
        let command = self.command();
        if self.wants_help || (command.is_empty() && self.options.is_empty()) {
            return Ok(Meant::Answer(help::of(&command, self.own())));
        }
        if command == "version" {
            return self.version();
        }
        match command.as_str() {
            // With an address to listen on it is lkit's `serve`, which serves specs.
            "serve" if self.port.is_some() || !(self.has_any(&["listen", "vhost-user"])) => self.complete_serve(),
            "build" => self.complete_build(),
            "run" => self.complete_run(),
            "cache clean" if !self.has_any(&["all", "layout"]) => self.options.push(option("all", None)),
            // As linuxkit, which pulls all that a tag leads to.
            "cache pull" if !self.has_any(&["platform"]) => self.options.push(option("platform", Some("all".as_ref()))),
            // As linuxkit, which removes an image of the same name first.
            "push gcp" if !self.has_any(&["replace"]) => self.options.push(option("replace", None)),
            // As linuxkit, which always writes the same blob.
            "push azure" if !self.has_any(&["overwrite"]) => self.options.push(option("overwrite", None)),
            _ => {}
        }
        self.complete_global();
        let quiet = self.verbosity == Some(0) || self.has_any(&["quiet"]);
        let end = Some(OsString::from("--")).filter(|_| !self.words.is_empty());
        let head = ["lkit".into()].into_iter().chain(self.command.iter().map(OsString::from));
        let words = head.chain(self.options).chain(end).chain(self.words).collect();
        Ok(Meant::Call { words, warnings: if quiet { Vec::new() } else { self.warnings } })
    }

    /// Whether one of these options of lkit is given.
    fn has_any(&self, names: &[&str]) -> bool {
        let is = |word: &OsString, name: &str| {
            let rest = word.as_bytes().strip_prefix(b"--").and_then(|rest| rest.strip_prefix(name.as_bytes()));
            rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'=')
        };
        names.iter().any(|name| self.options.iter().any(|word| is(word, name)))
    }

    /// Whether the command has this option of lkit.
    fn takes(&self, name: &str) -> bool {
        argument(self.own(), name).is_some()
    }

    fn push(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.options.push(option(name, Some(value.as_ref())));
    }

    /// Files of linuxkit's names, an SBOM, an initrd that is compressed, since the next tool may unzip it, and so a squashfs.
    fn complete_build(&mut self) {
        let (mut dir, mut name) = (self.dir.take().map(PathBuf::from), self.name.take());
        if let Some(path) = name.clone().map(PathBuf::from)
            && let (Some(above), Some(last)) = (path.parent(), path.file_name())
            && !above.as_os_str().is_empty()
        {
            // As Go joins paths: a slash in front does not lead out of the directory.
            let below = above.strip_prefix("/").unwrap_or(above);
            dir = Some(dir.map_or_else(|| above.to_owned(), |dir| dir.join(below)));
            name = Some(last.to_owned());
        }
        if name.is_none() && self.words.last().is_some_and(|word| word == "-") && !self.has_any(&["output"]) {
            name = Some(UNNAMED.into());
        }
        if let Some(dir) = dir {
            self.push("dir", dir);
        }
        if let Some(name) = name {
            self.push("name", name);
        }
        if !self.has_any(&["sbom", "no-sbom"]) {
            self.options.push(option("sbom", None));
        }
        self.options.push(option("as-linuxkit", None));
    }

    /// Serves a directory as linuxkit does: on all addresses of this machine, and each request is printed.
    fn complete_serve(&mut self) {
        if self.words.is_empty() && !self.has_any(&["directory"]) {
            self.push("directory", ".");
        }
        let port = self.port.take().map_or_else(|| PORT.to_owned(), |port| port.to_string_lossy().into_owned());
        let (host, number) = port.rsplit_once(':').unwrap_or(("", &port));
        self.push("listen", format!("http://{}:{number}", if host.is_empty() { "*" } else { host }));
        if !["127.0.0.1", "[::1]", "localhost"].contains(&host) && !self.has_any(&["insecure-listen", "tls-cert"]) {
            self.options.push(option("insecure-listen", None));
            self.warnings.push(format!(
                "every machine that reaches port {number} of this one can read the directory, as with linuxkit; \
                 `--port 127.0.0.1:{number}` serves this one alone"
            ));
        }
        if self.verbosity.is_none() && !self.has_any(&["quiet"]) {
            self.verbosity = Some(2);
        }
    }

    /// The files that are meant by a prefix, and the directory that keeps what a machine keeps.
    fn complete_run(&mut self) {
        if self.is_elsewhere {
            self.options.clear();
            return;
        }
        let Some(last) = self.words.last_mut() else { return };
        let state = state_of(last);
        if let Some(suffix) = self.suffix {
            last.push(suffix);
        }
        if let Some(state) = state.filter(|_| !self.has_any(&["state"])) {
            self.push("state", state);
        }
        let monitor = self.words.first().and_then(|first| first.to_str()).and_then(Monitor::named);
        let is_qemu = monitor.is_none_or(|monitor| monitor == Monitor::Qemu);
        if let Some(accelerator) = self.environment.accelerator.clone().filter(|_| is_qemu) {
            // linuxkit takes the environment's before the flag's, which the last one of ours replaces.
            self.options.retain(|word| !word.as_bytes().starts_with(b"--accel="));
            self.push("accel", accelerator);
        }
    }

    /// What every command of linuxkit takes, as far as lkit's command can use it.
    fn complete_global(&mut self) {
        match self.verbosity {
            Some(0) if !self.has_any(&["quiet"]) => self.options.push("-q".into()),
            Some(2) => self.options.push("-v".into()),
            Some(3..) => self.options.push("-vv".into()),
            _ => {}
        }
        let serves_directory = self.command() == "serve" && self.has_any(&["directory"]);
        if self.takes("cache")
            && !serves_directory
            && let Some(cache) = self.cache_dir()
        {
            self.push("cache", cache);
        }
        if self.takes("mirror") && !serves_directory {
            self.push_mirrors();
        }
        if self.takes("ca") && !serves_directory {
            std::mem::take(&mut self.certificates).into_iter().for_each(|file| self.push("ca", file));
        }
        if self.environment.config.is_some() {
            self.warnings
                .push("`LINUXKIT_CONFIG` has no effect: nothing that linuxkit's configuration says is used".into());
        }
    }

    /// The cache: as given, as either environment says, else linuxkit's own, whose layout is ours.
    fn cache_dir(&mut self) -> Option<OsString> {
        let environment = self.environment;
        let usual = || environment.home.as_ref().map(|home| home.join(".linuxkit/cache").into_os_string());
        let of_environment = || environment.cache.clone().or_else(|| environment.own_cache.clone());
        self.cache.take().or_else(of_environment).or_else(usual)
    }

    /// Mirrors, those that come last first: with linuxkit they replace the others.
    fn push_mirrors(&mut self) {
        let environment = self.environment.mirrors.as_deref().unwrap_or_default().as_bytes();
        let listed = environment.split(|byte| b", ".contains(byte)).filter(|mirror| !mirror.is_empty());
        let mut mirrors: Vec<OsString> = listed.map(|mirror| OsStr::from_bytes(mirror).to_owned()).collect();
        mirrors.append(&mut self.mirrors);
        for mirror in mirrors.into_iter().rev().filter(|mirror| !mirror.is_empty()) {
            let names_none = is_url(&mirror.to_string_lossy());
            let mut value = OsString::from(if names_none { "*=" } else { "" });
            value.push(mirror);
            self.push("mirror", value);
        }
    }

    fn version(&self) -> Result<Meant, Failure> {
        let own = env!("CARGO_PKG_VERSION");
        match self.wants_version {
            Some("short") => Ok(Meant::Answer(format!("{VERSION}\n"))),
            Some(_) => Err(Failure::usage(format!("this is lkit {own}, which has no commit of linuxkit"))
                .hint(format!("`linuxkit version --short` prints `{VERSION}`, whose command line is taken"))),
            None => Ok(Meant::Answer(format!("linuxkit version {VERSION} (lkit {own})\n"))),
        }
    }
}

/// The directory where linuxkit keeps what the machine of these files keeps; none for what is no file.
fn state_of(what: &OsStr) -> Option<OsString> {
    if what == "-" || is_url(&what.to_string_lossy()) {
        return None;
    }
    let path = Path::new(what);
    let is_named = [".iso", ".yml", ".yaml"].iter().any(|end| what.as_bytes().ends_with(end.as_bytes()));
    let mut state = if is_named { path.with_extension("") } else { path.components().collect() }.into_os_string();
    state.push("-state");
    Some(state)
}
