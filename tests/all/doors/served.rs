//! `lkit serve` of the small system, as a process.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ExitStatus, Stdio};

use crate::cli::system::{System, signal};
use crate::common::run;

/// A server; ended with this.
pub struct Served {
    child: Child,
    stderr: BufReader<ChildStderr>,
    /// Where it serves, as it says itself.
    pub urls: Vec<String>,
}

impl Served {
    /// Serves the spec of a system with these options, and waits until it does.
    pub fn of(system: &System, options: &str) -> Self {
        let mut child = system.command(&format!("serve a.yml {options}")).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains(" is served at ") {
            let begin = said.len();
            assert_ne!(stderr.read_line(&mut said).unwrap(), 0, "the server ended:\n{said}");
            said.drain(..begin);
        }
        let urls = urls(&said);
        Self { child, stderr, urls }
    }

    /// The address of an artifact at the first door.
    pub fn url(&self, artifact: &str) -> String {
        match self.urls[0].split_once('?') {
            Some((base, query)) => format!("{base}{artifact}?{query}"),
            None => format!("{}/{artifact}", self.urls[0]),
        }
    }

    /// The port of a door that has one.
    pub fn port(&self, door: usize) -> u16 {
        self.urls[door].rsplit(':').next().unwrap().parse().unwrap()
    }

    /// How many descriptors it has open.
    #[cfg(target_os = "linux")]
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Ends it by a signal; how it ended, and what it said meanwhile.
    pub fn end(mut self, name: &str) -> (ExitStatus, String) {
        signal(name, self.child.id());
        let status = self.child.wait().unwrap();
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).unwrap();
        (status, said)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The addresses in what a server says.
pub fn urls(said: &str) -> Vec<String> {
    said.split('`').filter(|word| word.contains("://")).map(str::to_owned).collect()
}

/// The files that `lkit build` writes in these formats, by name.
pub fn built(system: &System, formats: &str) -> Vec<(String, PathBuf)> {
    let dir = system.path("built");
    std::fs::create_dir_all(&dir).unwrap();
    system.good(&format!("build -f {formats} --dir built a.yml"));
    let names = run("ls", [&dir]);
    names.lines().map(|name| (name.to_owned(), dir.join(name))).collect()
}
