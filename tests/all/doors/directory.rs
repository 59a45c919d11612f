//! A directory by HTTP, as linuxkit's `serve` gives it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use super::server::{Server, body, header, status};
use crate::cli::system::{System, assert_says};
use crate::common::artifact::scratch;
use crate::common::{have, run};

/// A directory with a file and what leads out of it.
fn directory(name: &str) -> std::path::PathBuf {
    let dir = scratch(name);
    fs::create_dir_all(dir.join("out/sub dir")).unwrap();
    fs::write(dir.join("secret"), "secret").unwrap();
    fs::write(dir.join("out/a.iso"), b"0123456789").unwrap();
    fs::write(dir.join("out/sub dir/<b>&.txt"), "odd").unwrap();
    for (link, to) in [("up", "../secret"), ("root", "/"), ("inside", "a.iso")] {
        symlink(to, dir.join("out").join(link)).unwrap();
    }
    run("mkfifo", [dir.join("out/pipe")]);
    dir.join("out")
}

#[test]
fn a_directory_is_listed_and_its_files_come_whole_and_in_part() {
    let server = Server::directory(&directory("directory-files"));
    let listing = server.get("/", "");
    let expected = "<tr><td><a href=\"./a.iso\">a.iso</a></td><td class=\"size\">10</td></tr>\n\
                    <tr><td><a href=\"./inside\">inside</a></td><td class=\"size\"></td></tr>\n\
                    <tr><td><a href=\"./pipe\">pipe</a></td><td class=\"size\"></td></tr>\n\
                    <tr><td><a href=\"./root\">root</a></td><td class=\"size\"></td></tr>\n\
                    <tr><td><a href=\"./sub%20dir/\">sub dir/</a></td><td class=\"size\"></td></tr>\n\
                    <tr><td><a href=\"./up\">up</a></td><td class=\"size\"></td></tr>\n";
    assert!(status(&listing) == "200" && body(&listing).contains(expected), "{listing}");
    let below = server.get("/sub%20dir/", "");
    let odd = "<a href=\"./%3Cb%3E%26.txt\">&lt;b&gt;&amp;.txt</a></td><td class=\"size\">3<";
    assert!(body(&below).contains("<a href=\"../\">") && body(&below).contains(odd), "{below}");
    assert_eq!(body(&server.get("/sub%20dir/%3Cb%3E%26.txt", "")), "odd");
    let whole = server.get("/a.iso", "");
    let head = ["content-type", "content-length", "accept-ranges"].map(|name| header(&whole, name).unwrap());
    assert_eq!((head, body(&whole)), (["application/vnd.efi-iso", "10", "bytes"], "0123456789"));
    let part = server.get("/inside", "Range: bytes=3-5\r\n");
    assert_eq!((status(&part), header(&part, "content-range"), body(&part)), ("206", Some("bytes 3-5/10"), "345"));
    assert_eq!(status(&server.get("/a.iso", "Range: bytes=10-\r\n")), "416");
    let moved = server.get("/sub%20dir", "");
    assert_eq!((status(&moved), header(&moved, "location")), ("301", Some("./sub%20dir/")));
}

#[test]
fn an_index_page_is_shown_in_the_place_of_the_list() {
    let root = directory("directory-index");
    let server = Server::directory(&root);
    fs::write(root.join("index.html"), "<p>mine").unwrap();
    let page = server.get("/", "");
    assert_eq!((header(&page, "content-type"), body(&page)), (Some("text/html; charset=utf-8"), "<p>mine"));
}

#[test]
fn nothing_outside_of_a_directory_is_shown() {
    let root = directory("directory-outside");
    let server = Server::directory(&root);
    let rows = [
        ("/up", "404"),
        ("/root/etc/passwd", "404"),
        ("/../secret", "404"),
        ("/sub%20dir/../../secret", "404"),
        ("/%2e%2e/secret", "404"),
        ("/%2e%2e%2fsecret", "404"),
        ("/sub%20dir%2f..%2f..%2fsecret", "404"),
        ("/a.iso%00", "404"),
        ("/a.iso/", "404"),
        ("/a.iso/x", "404"),
        ("/nothing", "404"),
        ("/pipe", "403"),
    ];
    for (path, code) in rows {
        let answer = server.get(path, "");
        assert!(status(&answer) == code && !answer.contains("secret\r\n\r\nsecret"), "{path}: {answer}");
        assert!(body(&answer).starts_with("error: ") && !body(&answer).ends_with("secret"), "{path}: {answer}");
    }
    let absolute = server.ask("GET http://x/../secret HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(status(&absolute), "404");
    assert_eq!(status(&server.ask("POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")), "405");
}

#[test]
fn a_client_gets_a_file_again_only_when_it_has_changed() {
    let root = directory("directory-dates");
    run("touch", ["-d", "2020-01-02 03:04:05.6 UTC", root.join("a.iso").to_str().unwrap()]);
    let server = Server::directory(&root);
    let first = server.get("/a.iso", "");
    let (tag, date) = (header(&first, "etag").unwrap().to_owned(), "Thu, 02 Jan 2020 03:04:05 GMT");
    assert_eq!(header(&first, "last-modified"), Some(date));
    let rows = [
        (format!("If-None-Match: {tag}"), "304"),
        (format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {date}"), "200"),
        (format!("If-Modified-Since: {date}"), "304"),
        ("If-Modified-Since: Thu, 02 Jan 2020 03:04:04 GMT".to_owned(), "200"),
        ("If-Modified-Since: yesterday".to_owned(), "200"),
        (format!("If-Unmodified-Since: {date}"), "200"),
        ("If-Unmodified-Since: Thu, 02 Jan 2020 03:04:04 GMT".to_owned(), "412"),
        (format!("If-Range: {tag}\r\nRange: bytes=0-0"), "206"),
        // A date says too little of a file that was written twice in one second.
        (format!("If-Range: {date}\r\nRange: bytes=0-0"), "200"),
    ];
    for (headers, code) in &rows {
        assert_eq!(&status(&server.get("/a.iso", &format!("{headers}\r\n"))), code, "{headers}");
    }
    fs::write(root.join("a.iso"), b"9876543210").unwrap();
    assert_eq!(body(&server.get("/a.iso", &format!("If-None-Match: {tag}\r\n"))), "9876543210");
}

#[test]
fn a_directory_of_any_size_is_listed_in_part() {
    let root = directory("directory-large");
    let many = root.join("many");
    fs::create_dir(&many).unwrap();
    run("sh", ["-c", "cd \"$0\" && seq 10003 | xargs touch", many.to_str().unwrap()]);
    let server = Server::directory(&root);
    let listing = server.get("/many/", "");
    assert!(body(&listing).contains("<p>There are 3 more, which are not listed.</p>"));
    assert_eq!(body(&listing).matches("<tr>").count(), 10_001);
}

#[test]
fn oracle_curl_gets_files_from_lkit_and_from_linuxkit() {
    if !have(&["curl"]) {
        return;
    }
    let system = System::new();
    fs::create_dir(system.path("out")).unwrap();
    system.write("out/kernel", "kernel");
    for (program, line) in [("lkit", "--listen http://127.0.0.1:0"), ("linuxkit", "-port 127.0.0.1:0")] {
        let link = system.path(program);
        symlink(env!("CARGO_BIN_EXE_lkit"), &link).unwrap();
        let log = system.path("log");
        let script = format!(
            "\"$0\" serve --directory out {line} 2> log & until grep -q ' is served at ' log; do :; done\n\
             url=$(sed -n 's/.*served at `\\([^`]*\\)`.*/\\1/p' log); curl -fsS \"$url/kernel\"; kill $!; wait $!"
        );
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(script).arg(&link).current_dir(system.dir.path()).stdin(Stdio::null());
        let output = shell.output().unwrap();
        assert_eq!((&*output.stdout, output.status.code()), (&b"kernel"[..], Some(0)), "{program}");
        let told = fs::read_to_string(&log).unwrap();
        assert_eq!(told.contains("GET /kernel 200"), program == "linuxkit", "{told}");
        fs::remove_file(&log).unwrap();
    }
}

#[test]
fn what_is_no_directory_or_no_place_for_one_is_refused() {
    let system = System::new();
    let serve = |line: &str, code| {
        let output = crate::common::lkit(&system.cache()).current_dir(system.dir.path()).args(line.split(' ')).output();
        crate::cli::system::refused(line, &output.unwrap(), code)
    };
    let here = "--listen http://127.0.0.1:0";
    assert_says(&serve(&format!("serve --directory none {here}"), 1), &["cannot serve the directory `none`"]);
    assert_says(&serve(&format!("serve --directory a.yml {here}"), 1), &["cannot serve the directory `a.yml`"]);
    assert_says(
        &serve("serve --directory . --listen nbd://127.0.0.1:0", 2),
        &["no directory is served at `nbd://127.0.0.1:0`", "listen on `http://HOST:PORT`"],
    );
    assert_says(&serve("serve --directory . --listen http://*:0", 2), &["`http://*:0` can be reached from other"]);
    assert_says(
        &serve(&format!("serve layout {here}"), 2),
        &["`layout` is a directory, and no spec", "`--directory DIR` serves the files of one"],
    );
    assert_says(&serve(&format!("serve a.yml --directory . {here}"), 2), &["cannot be used with"]);
    assert!(Path::new(&system.path("a.yml")).is_file());
}
