//! Hostile specs.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use super::measured::{can_measure, run};
use super::texts::texts;
use crate::common::workshop::Workshop;

const MIB: usize = 1 << 20;

#[test]
fn hostile_specs_are_refused_within_bounded_memory() {
    if !can_measure() {
        return;
    }
    let shop = Workshop::new();
    for (name, text) in texts() {
        shop.write("x.yml", &text);
        let said = run(&shop, name, "inspect x.yml", None, 3);
        assert!(said.contains("--> x.yml:"), "{name}: no place");
    }
}

#[test]
fn hostile_bytes_are_no_spec() {
    if !can_measure() {
        return;
    }
    let shop = Workshop::new();
    let wide: Vec<u8> = [&[0xff, 0xfe][..], &b"[\0".repeat(7 * MIB)].concat();
    let rows: [(&str, Vec<u8>, &str); 6] = [
        ("zeros", vec![0; 15 * MIB], "control character U+0000"),
        ("all ones", vec![0xff; 15 * MIB], "UTF"),
        ("a bad byte at the end", [&b"#".repeat(15 * MIB)[..], &[0xff]].concat(), "this byte is not UTF-8"),
        ("half a surrogate", vec![0xff, 0xfe, 0x00, 0xd8], "this is not UTF-16"),
        ("wide brackets", wide, "values are nested too deep"),
        ("overlong", b"a: \xc0\xaf".to_vec(), "this byte is not UTF-8"),
    ];
    for (name, bytes, message) in rows {
        shop.write("x.yml", bytes);
        let said = run(&shop, name, "inspect x.yml", None, 3);
        assert!(said.contains(message), "{name}: {said}");
    }
}

/// Sections that refer to each other, or that everything is compared with.
fn crossed() -> Vec<(&'static str, String, i32)> {
    let many = |count: usize, line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<String>();
    let services = |line: &dyn Fn(usize) -> String| format!("services:\n{}", many(10_000, line));
    let volumes = format!("volumes:\n{}", many(10_000, &|i| format!("- {{name: v{i}}}\n")));
    let binds = many(10_000, &|i| format!("'v{i}:/v{i}', "));
    vec![
        ("one name again and again", services(&|_| "- {name: s, image: q.io/a}\n".to_owned()), 3),
        ("bad names", services(&|_| "- {name: a/b, image: q.io/a}\n".to_owned()), 3),
        ("ids", services(&|i| format!("- {{name: s{i}, image: q.io/a, uid: t{i}}}\n")), 3),
        ("mistakes everywhere", services(&|i| format!("- {{nam: s{i}, imag: 5, uid: [], net: {{}}}}\n")), 3),
        ("volumes", format!("{volumes}services: [{{name: s, image: q.io/a, binds: [{binds}]}}]"), 0),
        ("unknown volumes", format!("services: [{{name: s, image: q.io/a, binds: [{binds}]}}]"), 3),
        ("a path of slashes", format!("files: [{{path: '{}', contents: x}}]", "a/".repeat(7 * MIB)), 3),
        ("a path of dots", format!("files: [{{path: '{}x', contents: x}}]", "./".repeat(7 * MIB)), 0),
        ("paths", format!("files:\n{}", many(15_000, &|i| format!("- {{path: d{i}/f, contents: x}}\n"))), 0),
        (
            "files in files",
            format!(
                "files:\n{}",
                many(9_000, &|_| "- {path: f/f, contents: x}\n- {path: f, contents: x}\n".to_owned())
            ),
            3,
        ),
        ("large contents", format!("files: [{{path: f, contents: '{}'}}]", "x".repeat(15 * MIB)), 0),
        ("a long reference", format!("init: ['{}']", "a".repeat(15 * MIB)), 3),
        ("a reference of slashes", format!("init: ['{}']", "a/".repeat(7 * MIB)), 3),
        ("references", format!("init:\n{}", many(50_000, &|i| format!("- q.io/x{i}\n"))), 4),
        ("a long package", format!("init: ['@pkg:{}']", "a/".repeat(7 * MIB)), 3),
        (
            "an option of commas",
            format!("services: [{{name: s, image: q.io/a, binds: ['/a:/b:{}']}}]", ",".repeat(7 * MIB)),
            3,
        ),
        ("a long command line", format!("kernel: {{image: q.io/k, cmdline: '{}'}}", "x".repeat(15 * MIB)), 3),
        ("a long name", format!("services: [{{name: '{}', image: q.io/a}}]", "x".repeat(15 * MIB)), 3),
        (
            "platforms",
            format!(
                "volumes: [{{name: v, image: q.io/a, format: oci, platforms: [{}]}}]",
                "linux/amd64, ".repeat(50_000)
            ),
            0,
        ),
        (
            "metadata of much",
            format!("files:\n{}", "- {path: m, metadata: yaml}\n- {path: n, metadata: json}\n".repeat(8_000)),
            0,
        ),
    ]
}

#[test]
fn hostile_sections_end_within_bounded_memory() {
    if !can_measure() {
        return;
    }
    let mut shop = Workshop::new();
    shop.image("a", &["x = 1"]).image("k", &["kernel = K"]);
    for (name, text, code) in crossed() {
        shop.write("x.yml", &text);
        run(&shop, name, "inspect x.yml", None, code);
    }
}

#[test]
fn a_spec_over_16_mib_is_refused_unread_wherever_it_comes_from() {
    if !can_measure() {
        return;
    }
    let shop = Workshop::new();
    File::create(shop.path("x.yml")).unwrap().set_len(100 << 20).unwrap();
    assert!(run(&shop, "file", "inspect x.yml", None, 3).contains("spec `x.yml` is over 16 MiB"));
    let text = b"# a comment\n".repeat(100 * MIB / 12);
    assert!(run(&shop, "standard input", "inspect -", Some(&text), 3).contains("is over 16 MiB"));
    for header in ["Content-Length: 104857600\r\n", ""] {
        let url = endless(header);
        assert!(run(&shop, "URL", &format!("inspect {url}"), None, 3).contains("is over 16 MiB"));
    }
}

/// A server that answers one request with 100 MiB, or as much of it as is taken.
fn endless(header: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x.yml", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let asked = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        let _ = asked.take_while(|line| !line.is_empty()).count();
        let _ = write!(stream, "HTTP/1.1 200 OK\r\n{header}\r\n");
        let line = b"# a comment\n".repeat(MIB / 12);
        while stream.write_all(&line).is_ok() {}
    });
    url
}
