//! What is pushed into clouds: emulators of them, and servers of our own that refuse, break off and lie.

mod aws;
mod azure;
mod bucket;
mod cloud;
mod emulated;
mod gcp;
mod openstack;
mod page_blobs;
mod registry;
mod resumed;
mod s3;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::{lkit, stderr, stdout};

/// A directory with a file to push, and a home that knows nobody.
pub struct Desk {
    dir: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

impl Desk {
    pub fn new(variables: &[(&str, &str)]) -> Self {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { dir: tempfile::tempdir().unwrap(), variables }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file of this size, with zeros but for some bytes in each MiB.
    pub fn disk(&self, name: &str, mib: usize) -> Vec<u8> {
        let mut bytes = vec![0; mib << 20];
        for (number, chunk) in bytes.chunks_mut(1 << 20).enumerate() {
            chunk[..8].copy_from_slice(&(number as u64 + 1).to_le_bytes());
        }
        std::fs::write(self.path(name), &bytes).unwrap();
        bytes
    }

    /// The program with the words of a line, and nothing of this machine's accounts.
    pub fn command(&self, line: &str) -> Command {
        let mut command = lkit(&self.path("cache"));
        let of_clouds = ["AWS_", "AZURE_", "LINUXKIT_", "CLOUDSDK_", "GOOGLE_", "GCE_", "OS_"];
        let is_of_cloud = |name: &str| of_clouds.iter().any(|start| name.starts_with(start));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_of_cloud)) {
            command.env_remove(name);
        }
        command.current_dir(self.dir.path()).env("HOME", self.dir.path()).args(line.split(' '));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    pub fn output(&self, line: &str) -> Output {
        self.command(line).output().unwrap()
    }

    pub fn good(&self, line: &str) -> String {
        stdout(line, &self.output(line))
    }

    /// Runs the program, which is to end with `code`; what it says.
    pub fn bad(&self, line: &str, code: i32) -> String {
        let output = self.output(line);
        let said = stderr(&output);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(code), 0), "{line}: {said}");
        said
    }
}

/// Keys of AWS for tests.
pub const AWS: [(&str, &str); 3] =
    [("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "verysecret"), ("AWS_REGION", "us-east-1")];

#[track_caller]
pub fn assert_says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
}

/// Whether nothing but these files is in a directory.
pub fn names(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}
