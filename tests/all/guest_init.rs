//! What the init of `--root` makes of the answers of servers: its own sources, on a kernel that answers as the test says,
//! with the address sanitizer watching.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::common::artifact::scratch;
use crate::common::{have, root, run};

/// The init's network code as a program of this machine, made once; `None` where there is no compiler.
fn program() -> Option<&'static PathBuf> {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    have(&["gcc"]).then(|| PROGRAM.get_or_init(built))
}

fn built() -> PathBuf {
    let (path, source) = (scratch("guest-init").join("init"), root().join("tests/all/guest_init/kernel.c"));
    let include = format!("-I{}", root().join("src/boot/guest").display());
    let options = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-std=gnu11", "-O1", "-g"];
    let options = options.into_iter().chain(["-Wall", "-Wextra", "-Werror"]);
    let files = ["-o".into(), path.clone().into_os_string(), source.into_os_string(), include.into()];
    run("gcc", options.map(Into::into).chain(files));
    path
}

/// Exit code, and what is told, when reads get these bytes one after another.
fn told(program: &PathBuf, argument: &str, reads: &[Vec<u8>]) -> (Option<i32>, String) {
    let mut child = Command::new(program);
    let mut child =
        child.arg(argument).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = Vec::new();
    for read in reads {
        input.extend(u16::try_from(read.len()).unwrap().to_le_bytes());
        input.extend(read);
    }
    // It may have given up before it has read all.
    let _ = child.stdin.take().unwrap().write_all(&input);
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.is_empty(), "{errors}");
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

const GREETING: &[u8] = b"NBDMAGICIHAVEOPT\0\x03";

/// A reply to NBD_OPT_GO.
fn reply(kind: u32, info: &[u8]) -> Vec<u8> {
    let len = u32::try_from(info.len()).unwrap().to_be_bytes();
    joined(&[&0x0003_e889_0455_65a9_u64.to_be_bytes(), &7u32.to_be_bytes(), &kind.to_be_bytes(), &len, info])
}

fn export(size: u64) -> Vec<u8> {
    reply(3, &joined(&[&[0, 0], &size.to_be_bytes(), &[0, 3]]))
}

/// A message of netlink: its type, what follows its header.
fn netlink(kind: u16, rest: &[u8]) -> Vec<u8> {
    let len = u32::try_from(16 + rest.len()).unwrap().to_le_bytes();
    joined(&[&len, &kind.to_le_bytes(), &[0; 10], rest])
}

const URL: &str = "nbd://10.0.2.2:10809/a-squashfs.img";

fn gave_up(what: &str, error: u8) -> (Option<i32>, String) {
    (Some(3), format!("lkit: cannot {what} `{URL}` (error {error:03})\n"))
}

#[test]
fn a_server_that_keeps_to_the_protocol_gives_a_disk() {
    let Some(program) = program() else { return };
    let family = netlink(16, &[&[1, 2, 0, 0][..], &[8, 0, 2, 0], b"nbd\0", &[6, 0, 1, 0, 29, 0, 0, 0]].concat());
    let talk = [GREETING.to_vec(), export(1 << 20), reply(3, &[0, 3, 0, 0]), reply(1, &[])];
    let kernel = [family.clone(), netlink(29, &[1, 0, 0, 0]), netlink(2, &[0; 4])];
    assert_eq!(told(program, URL, &[&talk[..], &kernel].concat()), (Some(0), String::new()));
    // Byte by byte, as a network may bring them.
    let bytes: Vec<Vec<u8>> = talk.concat().into_iter().map(|byte| vec![byte]).collect();
    assert_eq!(told(program, URL, &[&bytes[..], &kernel].concat()), (Some(0), String::new()));
    let refusals = [(netlink(2, &(-16i32).to_le_bytes()), 16), (netlink(2, &[0; 3]), 71), (vec![0; 3], 71)];
    for (answer, error) in refusals {
        let reads = [&talk[..], &[family.clone(), answer]].concat();
        assert_eq!(told(program, URL, &reads), gave_up("attach by the kernel's driver `nbd`", error));
    }
    let none = [&talk[..], &[netlink(2, &(-2i32).to_le_bytes())]].concat();
    assert_eq!(told(program, URL, &none), gave_up("attach by the kernel's driver `nbd`", 2));
}

#[test]
fn a_server_that_breaks_the_protocol_is_given_up() {
    let Some(program) = program() else { return };
    let endless: Vec<Vec<u8>> = (0..70).map(|_| export(1)).collect();
    let mut other = reply(1, &[]);
    other[11] = 6;
    let mut long = reply(3, &[]);
    long[16..20].copy_from_slice(&u32::MAX.to_be_bytes());
    let rows: [(Vec<Vec<u8>>, u8); 10] = [
        (vec![], 5),
        (vec![GREETING[..17].to_vec()], 5),
        (vec![b"NBDMAGIC\x00\x42\x02\x81\x86\x12\x53\0\0\x03".to_vec()], 71),
        (vec![b"NBDMAGICIHAVEOPT\0\x02".to_vec()], 71),
        (vec![GREETING.to_vec(), reply(0x8000_0006, b"no such export")], 2),
        (vec![GREETING.to_vec(), reply(0x8000_0005, b"TLS")], 13),
        (vec![GREETING.to_vec(), reply(1, &[])], 71),
        (vec![GREETING.to_vec(), export(1), other], 71),
        (vec![GREETING.to_vec(), long], 71),
        ([vec![GREETING.to_vec()], endless].concat(), 71),
    ];
    for (reads, error) in rows {
        assert_eq!(told(program, URL, &reads), gave_up("get", error), "{reads:x?}");
    }
}

#[test]
fn what_is_no_address_of_a_disk_is_told() {
    let Some(program) = program() else { return };
    for url in ["nbd://", "nbd://host/a", "nbd://1.2.3/a", "nbd://1.2.3.256/a", "nbd://1.2.3.4", "nbd://1.2.3.4:0/a"] {
        let said = format!("lkit: cannot use the address `{url}` (error 022)\n");
        assert_eq!(told(program, url, &[]), (Some(3), said));
    }
    for url in ["nbd://1.2.3.4:65536/a", "nbd://1.2.3.4:99999999999999999999/a", "nbd://1.2.3.4:/a", "nbd://0.0.0.0/a"]
    {
        let said = format!("lkit: cannot use the address `{url}` (error 022)\n");
        assert_eq!(told(program, url, &[]), (Some(3), said));
    }
    let long = format!("nbd://1.2.3.4/{}", "a".repeat(1025));
    assert_eq!(told(program, &long, &[]).0, Some(3));
}

/// An answer of a DHCP server with these options.
fn answer(options: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 236];
    packet[0] = 2;
    packet[4..8].copy_from_slice(&[4, 3, 2, 1]);
    packet[16..20].copy_from_slice(&[10, 0, 2, 15]);
    packet[28..34].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
    joined(&[&packet, &[0x63, 0x82, 0x53, 0x63], options])
}

const OFFER: &[u8] = &[53, 1, 2, 54, 4, 10, 0, 2, 2, 255];
const ACK: &[u8] = &[53, 1, 5, 0, 0, 1, 4, 255, 255, 255, 0, 3, 8, 10, 0, 2, 2, 9, 9, 9, 9, 255];
const GIVEN: &str = "address 10.0.2.15\nmask 255.255.255.0\ngateway 10.0.2.2\n";

#[test]
fn a_card_gets_its_address_by_dhcp() {
    let Some(program) = program() else { return };
    for ip in ["dhcp", "", ":::::eth0:dhcp"] {
        let reads = [answer(OFFER), answer(ACK)];
        assert_eq!(told(program, ip, &reads), (Some(0), GIVEN.to_owned()), "{ip}");
    }
}

#[test]
fn answers_that_are_cut_forged_or_for_others_are_passed_over() {
    let Some(program) = program() else { return };
    let changed = |at: usize| {
        let mut packet = answer(OFFER);
        packet[at] ^= 1;
        packet
    };
    let mut reads: Vec<Vec<u8>> = [0, 4, 28, 236].map(changed).to_vec();
    reads.extend((0..240).map(|len| answer(OFFER)[..len].to_vec()).step_by(40));
    // Options that go on behind the end, and one without a length.
    reads.extend([&[53, 1][..], &[53, 1, 2, 54, 200, 1], &[53], &[], &[53, 1, 6, 255]].map(answer));
    // The longest packet that fits.
    reads.push(joined(&[&answer(&[]), &[0; 1260]]));
    reads.extend([answer(OFFER), answer(OFFER), answer(ACK)]);
    assert_eq!(told(program, "dhcp", &reads), (Some(0), GIVEN.to_owned()));
}

#[test]
fn a_card_may_be_told_its_address() {
    let Some(program) = program() else { return };
    let rows = [
        ("10.0.2.15::10.0.2.2:255.255.255.0::eth0:off quiet", GIVEN),
        ("10.0.2.15", "address 10.0.2.15\n"),
        ("10.0.2.15:10.0.2.9::255.255.255.0", "address 10.0.2.15\nmask 255.255.255.0\n"),
    ];
    for (ip, said) in rows {
        assert_eq!(told(program, ip, &[]), (Some(0), said.to_owned()), "{ip}");
    }
    let none = "lkit: cannot get an address for `eth7` (error 019)\n";
    assert_eq!(told(program, "10.0.2.15:::::eth7", &[]), (Some(3), none.to_owned()));
    let none = "lkit: cannot get an address for `any network card` (error 019)\n";
    assert_eq!(told(program, "dhcp", &[]), (Some(3), none.to_owned()));
    let long = format!(":::::{}", "a".repeat(4000));
    assert_eq!(told(program, &long, &[]).0, Some(3));
}
