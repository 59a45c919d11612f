//! What a machine starts from that another machine serves with `lkit serve`.

use std::net::IpAddr;

use crate::cli::bootable::Bootable;
use crate::cli::report::Failure;
use crate::vm::Boot;

/// The host as a guest of QEMU's own network sees it.
const HOST_OF_GUEST: &str = "10.0.2.2";

/// What is served at `url`, for a system of this name: a disk over NBD, by BIOS over HTTP iPXE's script, by UEFI a disk.
///
/// # Errors
/// When it is no URL of `lkit serve`.
pub fn bootable(url: &str, name: &str, uefi: bool) -> Result<Bootable, Failure> {
    let wrong = || {
        Failure::usage(format!("--from: `{url}` is nothing that `lkit serve` serves"))
            .hint("write `nbd://HOST:PORT` or `http://HOST:PORT`")
    };
    let (scheme, authority) = url.trim_end_matches('/').split_once("://").ok_or_else(wrong)?;
    let is_authority = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte);
    if authority.is_empty() || !authority.bytes().all(is_authority) {
        return Err(wrong());
    }
    let disk = || {
        let suffix = if uefi { "-efi.img" } else { "-bios.img" };
        Boot::Export(format!("{scheme}://{authority}/{}{suffix}", escaped(name)))
    };
    let boot = match (scheme, uefi) {
        ("nbd", _) | ("http", true) => disk(),
        ("http", false) => Boot::Script(format!("http://{}/ipxe", as_guest_sees(authority))),
        _ => return Err(wrong()),
    };
    Ok(Bootable { boot, uefi, architecture: None, shown: false })
}

/// A name as a part of a URL (RFC 3986, section 2.3).
fn escaped(name: &str) -> String {
    let byte = |byte: u8| match byte {
        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    name.bytes().map(byte).collect()
}

/// An address that the guest itself connects to: what is this host to the host is the guest to the guest.
fn as_guest_sees(authority: &str) -> String {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, format!(":{port}")),
        _ => (authority, String::new()),
    };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_loopback = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    format!("{}{port}", if is_loopback { HOST_OF_GUEST } else { host })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_leads_to_what_its_firmware_starts() {
        let rows = [
            ("nbd://h:10809", false, Boot::Export("nbd://h:10809/a%20b-bios.img".to_owned())),
            ("nbd://h:10809/", true, Boot::Export("nbd://h:10809/a%20b-efi.img".to_owned())),
            ("http://h", true, Boot::Export("http://h/a%20b-efi.img".to_owned())),
            ("http://h:80", false, Boot::Script("http://h:80/ipxe".to_owned())),
            ("http://127.0.0.1:80", false, Boot::Script("http://10.0.2.2:80/ipxe".to_owned())),
            ("http://[::1]:80", false, Boot::Script("http://10.0.2.2:80/ipxe".to_owned())),
            ("http://localhost", false, Boot::Script("http://10.0.2.2/ipxe".to_owned())),
            ("http://[fd00::1]", false, Boot::Script("http://[fd00::1]/ipxe".to_owned())),
        ];
        for (url, uefi, boot) in rows {
            assert_eq!(bootable(url, "a b", uefi).ok().map(|bootable| bootable.boot), Some(boot), "{url}");
        }
        for url in ["", "nbd", "nbd://", "tftp://h", "http://u@h", "http://h/x", "nbd://h,if=none", "ftp://h:1"] {
            assert!(bootable(url, "a", false).is_err(), "{url}");
        }
    }
}
