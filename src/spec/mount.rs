//! The three ways a spec writes a mount: a bind, a tmpfs, and an OCI mount with parts left out.

use super::Mount;

/// Longest bind or tmpfs in bytes: two paths, and options of the one page that mount(2) takes.
const LONGEST: usize = 3 * 4096;

/// Reads `source:destination[:options]`. Without options it is `rw,rbind,rshared`; given ones get `rbind`.
///
/// # Errors
/// A message that says what is wrong.
pub fn parse_bind(text: &str) -> Result<Mount, String> {
    if text.len() > LONGEST {
        return Err(format!("the bind is longer than {LONGEST} bytes"));
    }
    let parts: Vec<&str> = text.split(':').collect();
    let (source, destination, options) = match parts[..] {
        [source, destination] => (source, destination, ["rw", "rbind", "rshared"].map(str::to_owned).to_vec()),
        [source, destination, options] => {
            (source, destination, options.split(',').chain(["rbind"]).map(str::to_owned).collect())
        }
        [_] => return Err(format!("bind `{text}` has no destination; write `source:destination`")),
        _ => return Err(format!("bind `{text}` has too many `:`; write `source:destination:options`")),
    };
    match (source, destination) {
        ("", _) => Err(format!("bind `{text}` has no source")),
        (_, "") => Err(format!("bind `{text}` has no destination")),
        _ => Ok(mount("bind", source, destination, options)),
    }
}

/// Reads `destination[:options]`.
///
/// # Errors
/// A message that says what is wrong.
pub fn parse_tmpfs(text: &str) -> Result<Mount, String> {
    if text.len() > LONGEST {
        return Err(format!("the tmpfs is longer than {LONGEST} bytes"));
    }
    let parts: Vec<&str> = text.split(':').collect();
    match parts[..] {
        ["", ..] => Err(format!("tmpfs `{text}` has no destination")),
        [destination] => Ok(mount("tmpfs", "tmpfs", destination, Vec::new())),
        [destination, options] => {
            let options = options.split(',').map(str::to_owned).collect();
            Ok(mount("tmpfs", "tmpfs", destination, options))
        }
        _ => Err(format!("tmpfs `{text}` has too many `:`; write `destination:options`")),
    }
}

fn mount(kind: &str, source: &str, destination: &str, options: Vec<String>) -> Mount {
    let [kind, source, destination] = [kind, source, destination].map(str::to_owned);
    Mount { kind, source, destination, options, ..Mount::default() }
}

impl Mount {
    /// The mount with what LinuxKit guesses: the type from its source or destination, the source from its type, the
    /// destination from its type.
    ///
    /// # Errors
    /// A message that says what cannot be guessed.
    pub fn completed(&self) -> Result<Self, String> {
        let mut full = self.clone();
        if full.kind.is_empty() {
            full.kind = match (full.source.as_str(), full.destination.as_str()) {
                (source @ ("mqueue" | "devpts" | "proc" | "sysfs" | "cgroup"), _) => source.to_owned(),
                (_, "/dev") => "tmpfs".to_owned(),
                (_, destination) => return Err(format!("the mount at `{destination}` has no `type`")),
            };
        }
        if full.source.is_empty() {
            full.source.clone_from(&full.kind);
        }
        if full.destination.is_empty() {
            let usual = usual_destination(&full.kind);
            full.destination =
                usual.ok_or_else(|| format!("the mount of type `{}` has no `destination`", full.kind))?.to_owned();
        }
        Ok(full)
    }

    /// The volume a bind takes its source from: a source that is no absolute path.
    pub fn volume(&self) -> Option<&str> {
        (self.kind == "bind" && !self.source.starts_with('/')).then_some(&self.source)
    }

    /// Whether nothing can be written through it: `ro` is the last word of its options.
    pub fn is_read_only(&self) -> bool {
        self.options.iter().rfind(|option| *option == "ro" || *option == "rw").is_some_and(|option| option == "ro")
    }
}

fn usual_destination(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "proc" => "/proc",
        "devpts" => "/dev/pts",
        "sysfs" => "/sys",
        "cgroup" => "/sys/fs/cgroup",
        "mqueue" => "/dev/mqueue",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binds_are_read_with_their_options() {
        let rows = [("/a:/b", "rw,rbind,rshared"), ("/a:/b:ro", "ro,rbind"), ("/a:/b:", ",rbind")];
        for (text, options) in rows {
            let bind = parse_bind(text).unwrap();
            let parts = (bind.kind.as_str(), bind.source.as_str(), bind.destination.as_str());
            assert_eq!((parts, bind.options.join(",").as_str()), (("bind", "/a", "/b"), options));
        }
        for text in ["/a", ":/b", "/a:", "/a:/b:ro:x"] {
            assert!(parse_bind(text).unwrap_err().starts_with(&format!("bind `{text}` has ")));
        }
    }

    #[test]
    fn tmpfs_are_read_with_their_options() {
        assert_eq!(parse_tmpfs("/run:size=1m,mode=755").unwrap().options, ["size=1m", "mode=755"]);
        assert_eq!(parse_tmpfs("/run").unwrap().options, [""; 0]);
        assert!(parse_tmpfs("").is_err() && parse_tmpfs("/a:b:c").is_err());
    }

    #[test]
    fn what_a_mount_leaves_out_is_guessed() {
        let rows = [
            (["", "proc", ""], Ok(["proc", "proc", "/proc"])),
            (["mqueue", "", ""], Ok(["mqueue", "mqueue", "/dev/mqueue"])),
            (["", "", "/dev"], Ok(["tmpfs", "tmpfs", "/dev"])),
            (["bind", "v", "/x"], Ok(["bind", "v", "/x"])),
            (["", "/a", "/b"], Err("the mount at `/b` has no `type`")),
            (["ext4", "/dev/sda", ""], Err("the mount of type `ext4` has no `destination`")),
        ];
        for ([kind, source, destination], expected) in rows {
            let full = mount(kind, source, destination, Vec::new()).completed();
            let expected = expected.map(|[k, s, d]| mount(k, s, d, Vec::new())).map_err(str::to_owned);
            assert_eq!(full, expected);
        }
    }

    #[test]
    fn a_bind_of_a_bare_name_is_a_volume() {
        let bind = parse_bind("v:/x:noexec,ro").unwrap();
        assert_eq!((bind.volume(), bind.is_read_only()), (Some("v"), true));
        assert_eq!((parse_bind("/v:/x").unwrap().volume(), parse_bind("/v:/x").unwrap().is_read_only()), (None, false));
    }
}
