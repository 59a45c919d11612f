//! A script with which iPXE boots the system: kernel, initrd and command line. Where a root is served to machines, the initrd
//! is the small one that mounts it.
//!
//! # Format
//! <https://ipxe.org/scripting>. A line is expanded (`${…}`), then split at spaces; a word that begins with `#` hides what
//! follows it, and `;`, `&&` and `||` end a command (iPXE, `core/exec.c`). Nothing quotes them.

use std::net::Ipv4Addr;

use super::{Generation, RemoteRoot};
use crate::base::{ErrorKind, in_memory, printable_line};
use crate::extent::ReadError;
use crate::output::PLAIN_NAMES;

/// Longest command line that a kernel takes is 4 KiB at most (`COMMAND_LINE_SIZE`); a longer one is no script's matter.
const LONGEST_CMDLINE: u64 = 64 << 10;

/// The script; files have names relative to it, or stand below the URL `base`, which ends in `/`.
///
/// # Errors
/// `Unsupported` when there is no kernel, or iPXE cannot pass its command line on; else when that cannot be read.
pub(super) fn script(generation: &Generation, base: &str) -> Result<String, ReadError> {
    let [kernel, initrd, cmdline] = PLAIN_NAMES;
    if generation.get(kernel).is_none() {
        return Err(ReadError::new(ErrorKind::Unsupported, "the spec has no kernel, so nothing can be booted"));
    }
    let cmdline = match generation.get(cmdline) {
        Some(artifact) => {
            let source = artifact.open()?;
            let mut bytes = vec![0; in_memory(source.size().min(LONGEST_CMDLINE))];
            source.read_at(&mut bytes, 0)?;
            checked(bytes)?
        }
        None => String::new(),
    };
    let root = generation.root.as_ref().filter(|root| generation.get(&root.disk).is_some());
    let (initrd, cmdline) = match root {
        Some(root) => (&*root.initrd, with_root(cmdline, root, base)?),
        None => (initrd, cmdline),
    };
    // The kernel's EFI stub finds the initrd by its name.
    let line = format!("kernel {base}{kernel} initrd={initrd} {cmdline}");
    Ok(format!("#!ipxe\n{}\ninitrd {base}{initrd}\nboot\n", line.trim_end()))
}

/// The command line of a machine whose root is served: its address is asked for, and where the root is.
fn with_root(cmdline: String, root: &RemoteRoot, base: &str) -> Result<String, ReadError> {
    if !root.disk.bytes().all(|byte| byte.is_ascii_graphic()) {
        let disk = printable_line(&root.disk);
        let message = format!("a kernel's command line cannot name `{disk}`; give the system another name (`--name`)");
        return Err(ReadError::new(ErrorKind::Unsupported, message));
    }
    let ip = if cmdline.split(' ').any(|word| word.starts_with("ip=")) { "" } else { " ip=dhcp" };
    let (server, port) = (server(root, base), root.server.port());
    Ok(format!("{cmdline}{ip} lkit.root=nbd://{server}:{port}/{}", root.disk))
}

/// The address of the server as machines see it: the one it listens on, or the one they got the script from. iPXE knows
/// the latter when the script does not.
fn server(root: &RemoteRoot, base: &str) -> String {
    let own = *root.server.ip();
    if !own.is_unspecified() && !own.is_loopback() {
        return own.to_string();
    }
    let host = base.split_once("://").and_then(|(_, rest)| rest.split([':', '/']).next());
    let host = host.and_then(|host| host.parse::<Ipv4Addr>().ok());
    host.map_or_else(|| "${next-server}".to_owned(), |host| host.to_string())
}

/// A command line that iPXE passes on as it is.
fn checked(bytes: Vec<u8>) -> Result<String, ReadError> {
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim();
    let changes = |word: &&str| word.starts_with('#') || matches!(*word, ";" | "&&" | "||");
    let found = text.split(' ').find(changes).or_else(|| text.contains("${").then_some("${"));
    let control = text.chars().find(|c| c.is_control()).map(String::from);
    match found.map(str::to_owned).or(control) {
        None => Ok(text.to_owned()),
        Some(word) => {
            let word = printable_line(&word).to_string();
            let message =
                format!("iPXE would not pass `{word}` in the kernel's command line on; boot the `.efi` instead");
            Err(ReadError::new(ErrorKind::Unsupported, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::Digest;
    use crate::extent::Bytes;
    use crate::output::Artifact;

    fn generation(names: &[&str], cmdline: &str) -> Generation {
        let content: Arc<dyn crate::extent::Source> = Arc::new(Bytes(cmdline.as_bytes().into()));
        let artifacts = names.iter().map(|name| Artifact::ready(*name, content.clone())).collect();
        Generation::new(artifacts, Digest::of(b""))
    }

    #[test]
    fn a_script_boots_kernel_and_initrd_with_the_command_line() {
        let all = generation(&PLAIN_NAMES, "console=ttyS0 quiet\n");
        let text = "#!ipxe\nkernel http://h:1/kernel initrd=initrd.img console=ttyS0 quiet\n\
                    initrd http://h:1/initrd.img\nboot\n";
        assert_eq!(script(&all, "http://h:1/").unwrap(), text);
        let bare = generation(&PLAIN_NAMES[..2], "");
        assert_eq!(script(&bare, "").unwrap(), "#!ipxe\nkernel kernel initrd=initrd.img\ninitrd initrd.img\nboot\n");
    }

    #[test]
    fn what_ipxe_would_take_for_its_own_is_refused() {
        let rows = [
            ("a ; b", ";"),
            ("a && b", "&&"),
            ("|| b", "||"),
            ("a #b", "#b"),
            ("a=${net0/mac}", "${"),
            ("a\nshell", "\\x0a"),
            ("a\u{1b}[2J", "\\x1b"),
        ];
        for (cmdline, word) in rows {
            let error = script(&generation(&PLAIN_NAMES, cmdline), "").unwrap_err();
            let message =
                format!("iPXE would not pass `{word}` in the kernel's command line on; boot the `.efi` instead");
            assert_eq!(error.to_string(), message);
        }
        for cmdline in ["a=b#c", "a=$HOME", "a;b", "a=\"b  c\""] {
            assert!(script(&generation(&PLAIN_NAMES, cmdline), "").is_ok(), "{cmdline}");
        }
    }

    #[test]
    fn machines_boot_from_a_root_that_is_served() {
        let names = ["kernel", "initrd.img", "cmdline", "a-erofs.img", "a-erofs-initrd.img"];
        let of = |names: &[&str], cmdline: &str, server: &str| {
            let [disk, initrd] = ["a-erofs.img", "a-erofs-initrd.img"].map(str::to_owned);
            let root = RemoteRoot { disk, initrd, server: server.parse().unwrap() };
            generation(names, cmdline).with_root(Some(root))
        };
        let rows = [
            ("a", "192.0.2.1:10809", "http://h/", "a ip=dhcp lkit.root=nbd://192.0.2.1:10809"),
            ("a ip=off", "0.0.0.0:9", "http://192.0.2.7:80/", "a ip=off lkit.root=nbd://192.0.2.7:9"),
            ("", "127.0.0.1:9", "http://10.0.2.2/", " ip=dhcp lkit.root=nbd://10.0.2.2:9"),
            ("a", "0.0.0.0:9", "http://host:80/", "a ip=dhcp lkit.root=nbd://${next-server}:9"),
            ("a", "0.0.0.0:9", "", "a ip=dhcp lkit.root=nbd://${next-server}:9"),
        ];
        for (cmdline, server, base, words) in rows {
            let text = format!(
                "#!ipxe\nkernel {base}kernel initrd=a-erofs-initrd.img {words}/a-erofs.img\ninitrd {base}a-erofs-initrd.img\nboot\n"
            );
            assert_eq!(script(&of(&names, cmdline, server), base).unwrap(), text);
        }
        let whole = "#!ipxe\nkernel kernel initrd=initrd.img a\ninitrd initrd.img\nboot\n";
        assert_eq!(script(&of(&names[..3], "a", "192.0.2.1:9"), "").unwrap(), whole);
    }

    #[test]
    fn without_a_kernel_there_is_no_script() {
        let error = script(&generation(&["initrd.img"], ""), "").unwrap_err();
        assert_eq!(error.to_string(), "the spec has no kernel, so nothing can be booted");
    }
}
