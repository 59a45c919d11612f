//! The HTTP door as its clients see it, curl first of all.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lkit::base::{Digest, ErrorKind, MIB};
use lkit::extent::{ReadError, SharedSource, Zeros};
use lkit::oci::provide_tls;
use lkit::output::Artifact;
use lkit::serve::Generation;
use lkit::serve::http::Rules;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

use super::server::{Damaged, SIZE, Server, body, generation, header, plain, status, system};
use crate::common::artifact::{Noise, scratch};
use crate::common::source::{Pattern, bytes};
use crate::common::tls::Authority;
use crate::common::{have, run};

/// What curl prints, which has to succeed.
fn curl(args: &[&str]) -> String {
    run("curl", ["-sS", "--fail", "--max-time", "60"].iter().chain(args))
}

/// How a run of curl ends that need not succeed.
fn try_curl(args: &[&str]) -> Output {
    Command::new("curl").args(["-sS", "--max-time", "60"]).args(args).output().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn oracle_curl_gets_a_file_whole_in_part_and_resumed() {
    if !have(&["curl"]) {
        return;
    }
    let (server, dir) = (Server::http(generation()), scratch("http-curl"));
    let (url, path, whole) = (server.url("plain"), dir.join("plain"), bytes(&plain()));
    curl(&["-o", text(&path), &url]);
    assert!(fs::read(&path).unwrap() == whole);
    for (range, part) in
        [("0-0", 0..1), ("1000000-1999999", 1_000_000..2_000_000), ("-77", whole.len() - 77..whole.len())]
    {
        curl(&["-o", text(&path), "--range", range, &url]);
        assert!(fs::read(&path).unwrap() == whole[part], "{range}");
    }
    fs::write(&path, &whole[..1_234_567]).unwrap();
    assert_eq!(curl(&["-o", text(&path), "-C", "-", "-w", "%{http_code} %{size_download}", &url]), "206 1911238");
    assert!(fs::read(&path).unwrap() == whole);
    assert_eq!(curl(&[&server.url("empty")]), "");
}

#[test]
fn a_range_behind_the_end_is_told_with_the_size() {
    let server = Server::http(generation());
    let answer = server.get("/plain", "Range: bytes=99999999-\r\n");
    assert_eq!((status(&answer), header(&answer, "content-range")), ("416", Some(&*format!("bytes */{SIZE}"))));
    assert_eq!(status(&server.get("/empty", "Range: bytes=0-\r\n")), "416");
    // Several ranges may be answered with all.
    for range in ["bytes=0-1,4-5", "bytes=5-4", "pages=1-2", "bytes=0-1\r\nRange: bytes=4-5"] {
        let answer = server.get("/empty", &format!("Range: {range}\r\n"));
        assert_eq!((status(&answer), header(&answer, "content-length")), ("200", Some("0")), "{range}");
    }
}

#[test]
fn a_tag_is_the_same_wherever_the_same_bytes_are_served_and_no_other() {
    let (here, there) = (Server::http(generation()), Server::http(generation()));
    let tag = |server: &Server, path: &str| header(&server.get(path, ""), "etag").unwrap().to_owned();
    let plain = tag(&here, "/plain");
    assert_eq!((plain.len(), &plain), (34, &tag(&there, "/plain")));
    assert_ne!(plain, tag(&here, "/empty"));
    let artifacts = vec![Artifact::ready("plain", super::server::plain())];
    there.exports.replace(Generation::new(artifacts, Digest::of(b"another")));
    assert_ne!(plain, tag(&there, "/plain"));
    let longer = vec![Artifact::ready("plain", Pattern::shared(7, SIZE + 1))];
    there.exports.replace(Generation::new(longer, Digest::of(b"seed")));
    assert_ne!(plain, tag(&there, "/plain"));
}

#[test]
fn what_a_client_has_is_not_sent_again_and_what_changed_is_not_mixed() {
    let server = Server::http(generation());
    let tag = header(&server.get("/plain", "Range: bytes=0-0\r\n"), "etag").unwrap().to_owned();
    let other = "\"0123\"";
    let rows = [
        (format!("If-None-Match: {tag}"), "304", None),
        (format!("If-None-Match: {other}, W/{tag}"), "304", None),
        ("If-None-Match: *".to_owned(), "304", None),
        (format!("If-None-Match: {tag}\r\nRange: bytes=0-9"), "304", None),
        (format!("If-None-Match: {other}\r\nRange: bytes=0-9"), "206", Some(10)),
        (format!("If-Range: {tag}\r\nRange: bytes=0-9"), "206", Some(10)),
        (format!("If-Range: {other}\r\nRange: bytes=0-9"), "200", Some(SIZE)),
        (format!("If-Range: W/{tag}\r\nRange: bytes=0-9"), "200", Some(SIZE)),
        ("If-Range: Tue, 18 Apr 2017 16:30:00 GMT\r\nRange: bytes=0-9".to_owned(), "200", Some(SIZE)),
        (format!("If-Match: {tag}\r\nRange: bytes=0-9"), "206", Some(10)),
        ("If-Match: *\r\nRange: bytes=0-9".to_owned(), "206", Some(10)),
        (format!("If-Match: {other}"), "412", Some(35)),
        (format!("If-Match: W/{tag}"), "412", Some(35)),
    ];
    for (headers, code, length) in rows {
        let answer = server.get("/plain", &format!("{headers}\r\n"));
        let said = header(&answer, "content-length").map(|length| length.parse().unwrap());
        assert_eq!((status(&answer), said), (code, length), "{headers}");
        assert!(code == "412" || header(&answer, "etag") == Some(&tag), "{headers}");
    }
}

#[test]
fn no_date_lets_a_client_take_an_old_file_for_a_new_one() {
    let server = Server::http(generation());
    let since = "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\nRange: bytes=0-1\r\n";
    let answer = server.get("/plain", since);
    assert_eq!((status(&answer), header(&answer, "last-modified")), ("206", None));
}

#[test]
fn head_has_the_headers_of_get_and_no_body() {
    let server = Server::http(generation());
    let rows = ["/plain", "/empty", "/", "/index.json", "/ipxe", "/nothing", "/too-large"];
    for path in rows {
        let heads = ["GET", "HEAD"].map(|method| {
            let answer = server.ask(format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"));
            assert!(method == "GET" || body(&answer).is_empty(), "{path}");
            let head = answer.split("\r\n\r\n").next().unwrap().to_owned();
            head.split("\r\n").filter(|line| !line.starts_with("date: ")).map(str::to_owned).collect::<Vec<_>>()
        });
        assert_eq!(heads[0], heads[1], "{path}");
        assert!(heads[0].iter().any(|line| line.starts_with("content-length: ")), "{path}");
    }
}

#[test]
fn oracle_curl_decodes_kernel_and_initrd_that_were_compressed_on_the_way() {
    if !have(&["curl", "zstd", "gzip"]) {
        return;
    }
    let kernel: SharedSource = Arc::new(Zeros(5 * MIB + 1));
    let system = system(kernel.clone());
    let initrd = bytes(system.get("initrd.img").unwrap().open().unwrap());
    let (server, dir) = (Server::http(system), scratch("http-encoded"));
    let path = dir.join("file");
    for (name, content) in [("kernel", bytes(&kernel)), ("sys-kernel", bytes(&kernel)), ("initrd.img", initrd)] {
        let mut tags = vec![];
        for (encoding, program) in [("gzip", "gzip"), ("zstd", "zstd"), ("identity", "cat")] {
            let said =
                curl(&["-D", "-", "-o", text(&path), "-H", &format!("Accept-Encoding: {encoding}"), &server.url(name)]);
            let said = format!("{}\r\n\r\n", said.trim_end());
            let args: &[&str] = if program == "cat" { &[] } else { &["-dc"] };
            let output = Command::new(program).args(args).arg(&path).output().unwrap();
            assert!(output.status.success() && output.stdout == content, "{name} in {encoding}");
            let is_plain = encoding == "identity";
            assert_eq!(header(&said, "content-encoding"), (!is_plain).then_some(encoding));
            assert_eq!(header(&said, "content-length").is_some(), is_plain);
            assert_eq!(header(&said, "vary"), Some("accept-encoding"));
            assert!(is_plain || fs::metadata(&path).unwrap().len() < content.len() as u64 / 10);
            tags.push(header(&said, "etag").unwrap().to_owned());
        }
        assert!(tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2], "{tags:?}");
        curl(&["--compressed", "-o", text(&path), &server.url(name)]);
        assert!(fs::read(&path).unwrap() == content, "{name}");
    }
}

#[test]
fn a_part_an_old_client_and_a_disk_get_the_bytes_as_they_are() {
    let system = system(Arc::new(Zeros(MIB)));
    let tar = system.get("sys.tar").unwrap().open().unwrap().size().to_string();
    let server = Server::http(system);
    let like = "Accept-Encoding: zstd, gzip\r\n";
    let part = server.get("/kernel", &format!("{like}Range: bytes=0-9\r\n"));
    let (old, whole) = (format!("GET /kernel HTTP/1.0\r\n{like}\r\n"), server.get("/sys.tar", like));
    for (answer, length) in [(part, "10"), (server.ask(old), "1048576"), (whole, tar.as_str())] {
        assert_eq!((header(&answer, "content-encoding"), header(&answer, "content-length")), (None, Some(length)));
    }
    // The part of an encoded file cannot be had: the tag is another one.
    let zstd = server.ask(format!("HEAD /kernel HTTP/1.1\r\nHost: t\r\nConnection: close\r\n{like}\r\n"));
    let headers = format!("If-Range: {}\r\nRange: bytes=0-9\r\n", header(&zstd, "etag").unwrap());
    assert_eq!((header(&zstd, "content-encoding"), status(&server.get("/kernel", &headers))), (Some("zstd"), "200"));
}

#[test]
fn oracle_curl_sees_that_a_file_breaks_off() {
    if !have(&["curl"]) {
        return;
    }
    let mut damaged = system(Arc::new(Damaged(8 * MIB)));
    damaged.artifacts.retain(|artifact| artifact.name() == "kernel");
    let server = Server::http(damaged);
    // 18: a part of the file; 52: nothing, since the fault came before the head of the answer was sent; 56: the connection
    // broke.
    let plain = try_curl(&["-o", "/dev/null", &server.url("kernel")]);
    assert!(matches!(plain.status.code(), Some(18 | 52)), "{plain:?}");
    for encoding in ["gzip", "zstd"] {
        let encoded =
            try_curl(&["-o", "/dev/null", "-H", &format!("Accept-Encoding: {encoding}"), &server.url("kernel")]);
        assert!(matches!(encoded.status.code(), Some(18 | 52 | 56)), "{encoding}: {encoded:?}");
    }
    assert_eq!(status(&server.get("/kernel", "Range: bytes=0-99\r\n")), "206");
}

#[test]
fn what_cannot_be_had_is_told_with_the_reason() {
    let server = Server::http(generation());
    let rows = [
        ("/nothing", "404", "there is no `nothing` here; there are\n  plain\n"),
        ("/a%0ab%1b%ff", "404", "there is no `a\\x0ab\\x1b\u{fffd}` here;"),
        ("/too-large", "500", "error: a layer is missing\n"),
        ("/far", "503", "error: a layer is missing\n"),
        ("/ipxe", "500", "error: the spec has no kernel, so nothing can be booted\n"),
    ];
    for (path, code, said) in rows {
        let answer = server.get(path, "");
        assert_eq!((status(&answer), header(&answer, "content-type")), (code, Some("text/plain; charset=utf-8")));
        assert!(body(&answer).starts_with(said), "{answer}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"] {
        let answer = server.ask(format!("{method} /plain HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"));
        let said = (status(&answer), header(&answer, "allow"));
        assert_eq!(said, ("405", Some("GET, HEAD")), "{method}");
    }
}

#[test]
fn what_could_not_be_read_is_tried_again() {
    let count = AtomicUsize::new(0);
    let artifact = Artifact::new("kernel", move || match count.fetch_add(1, Ordering::Relaxed) {
        0 => Err(ReadError::new(ErrorKind::Unreachable, "no route")),
        _ => Ok(plain()),
    });
    let server = Server::http(Generation::new(vec![artifact], Digest::of(b"")));
    assert_eq!(status(&server.get("/kernel", "")), "503");
    assert_eq!(status(&server.get("/kernel", "Range: bytes=0-0\r\n")), "206");
}

#[test]
fn lazy_nothing_is_laid_out_before_somebody_asks_for_it() {
    let made: Arc<[AtomicUsize; 2]> = Arc::default();
    let artifact = |at: usize, name| {
        let made = made.clone();
        Artifact::new(name, move || {
            made[at].fetch_add(1, Ordering::Relaxed);
            Ok(plain())
        })
    };
    let artifacts = vec![artifact(0, "initrd.img"), artifact(1, "sys.iso")];
    let server = Server::http(Generation::new(artifacts, Digest::of(b"")));
    let count = || [0, 1].map(|at| made[at].load(Ordering::Relaxed));
    server.get("/nothing", "");
    assert_eq!(count(), [0, 0]);
    server.get("/sys.iso", "Range: bytes=1-2\r\n");
    assert_eq!(count(), [0, 1]);
    // A page tells sizes.
    server.get("/", "");
    server.get("/index.json", "");
    assert_eq!(count(), [1, 1]);
}

#[test]
fn the_page_escapes_names_and_its_links_lead_to_the_files() {
    let server = Server::http(generation());
    let answer = server.get("/", "");
    assert_eq!(header(&answer, "content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(header(&answer, "content-security-policy"), Some("default-src 'none'; style-src 'unsafe-inline'"));
    let link = "a%20%3Cb%3E%26%27%22.img";
    let row =
        format!("<a href=\"{link}\">a &lt;b&gt;&amp;&#39;&quot;.img</a></td><td class=\"size\" title=\"3 bytes\">3 B<");
    assert!(body(&answer).contains(&row), "{answer}");
    assert!(body(&answer).contains("<td>too-large</td><td></td><td>a layer is missing</td>"), "{answer}");
    assert_eq!(body(&server.get(&format!("/{link}"), "")), "odd");
}

#[test]
fn the_list_as_json_has_sizes_and_reasons() {
    let server = Server::http(generation());
    let listed = server.get("/index.json", "");
    assert_eq!(header(&listed, "content-type"), Some("application/json"));
    assert_eq!(body(&listed), body(&server.get("/", "Accept: application/json\r\n")));
    let json: Value = serde_json::from_str(body(&listed)).unwrap();
    let rows = json["artifacts"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[0]), (6, &json!({"name": "plain", "size": SIZE, "what": ""})));
    assert_eq!(rows[4], json!({"name": "too-large", "error": "a layer is missing", "what": ""}));
}

#[test]
fn the_script_and_the_page_name_the_host_that_the_client_asked() {
    let server = Server::http(system(Arc::new(Noise(MIB))));
    let ask = |path: &str, rest: &str| server.ask(format!("GET {path} HTTP/1.{rest}\r\nConnection: close\r\n\r\n"));
    let script = |base: &str| {
        format!("#!ipxe\nkernel {base}kernel initrd=initrd.img console=ttyS0\ninitrd {base}initrd.img\nboot\n")
    };
    assert_eq!(body(&ask("/ipxe", "1\r\nHost: 10.0.2.2:8080")), script("http://10.0.2.2:8080/"));
    assert_eq!(body(&ask("/boot.ipxe", "1\r\nHost: [::1]:80")), script("http://[::1]:80/"));
    assert_eq!(body(&ask("http://boot.lan/ipxe", "1\r\nHost: other")), script("http://boot.lan/"));
    assert_eq!(body(&ask("/ipxe", "0")), script(""));
    assert!(body(&ask("/", "1\r\nHost: boot.lan")).contains("<pre>chain http://boot.lan/ipxe</pre>"));
    for host in ["a b", "a/b", "x@y", "a\"><script>", "a\r\nHost: b", "a,b", "a?b", "\u{e9}", ""] {
        let answer = ask("/ipxe", &format!("1\r\nHost: {host}"));
        assert!(status(&answer) == "400" && !answer.contains("script>"), "{host}: {answer}");
    }
    assert_eq!(status(&ask("/ipxe", "1")), "400");
}

#[test]
fn files_have_the_types_that_firmware_goes_by() {
    let server = Server::http(system(Arc::new(Noise(MIB))));
    for (path, kind) in [
        ("kernel", "application/octet-stream"),
        ("cmdline", "text/plain; charset=utf-8"),
        ("sys.tar", "application/x-tar"),
    ] {
        let answer = server.get(&format!("/{path}"), "Range: bytes=0-0\r\n");
        assert_eq!(header(&answer, "content-type"), Some(kind), "{path}");
    }
}

#[test]
fn oracle_curl_gets_files_by_tls() {
    let dir = scratch("http-tls");
    let Some(authority) = Authority::new(&dir).filter(|_| have(&["curl"])) else { return };
    let (certificate, key) = authority.certificate("server");
    provide_tls();
    let chain = CertificateDer::pem_file_iter(certificate).unwrap().collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let tls = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    let server = Server::with(system(Arc::new(Noise(MIB))), Rules { tls: Some(Arc::new(tls)), ..Rules::default() });
    let (url, path, root) = (format!("https://{}", server.address), dir.join("kernel"), authority.root());
    curl(&["--cacert", text(&root), "-o", text(&path), &format!("{url}/kernel")]);
    assert!(fs::read(&path).unwrap() == bytes(&(Arc::new(Noise(MIB)) as SharedSource)));
    assert!(curl(&["--cacert", text(&root), &format!("{url}/ipxe")]).contains(&format!("kernel {url}/kernel ")));
    // Who does not speak TLS is told nothing.
    assert!(!server.get("/kernel", "").contains("HTTP/1.1 2"));
}

#[test]
fn a_generation_that_was_replaced_is_read_to_its_end() {
    let server = Server::http(generation());
    let mut stream = server.connect();
    stream.write_all(b"GET /plain HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = vec![0; 1000];
    stream.read_exact(&mut answer).unwrap();
    server.exports.replace(Generation::new(Vec::new(), Digest::of(b"new")));
    stream.read_to_end(&mut answer).unwrap();
    let content = bytes(&plain());
    assert!(answer.ends_with(&content) && status(&server.get("/plain", "")) == "404");
}
