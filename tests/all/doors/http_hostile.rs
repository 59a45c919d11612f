//! Clients of the HTTP door that mean harm: odd bytes, endless heads, silence, and answers that nobody reads.

use std::io::{ErrorKind, Read as _, Write as _};
use std::time::Duration;

use lkit::serve::http::Limits;

use super::server::{LIMIT, Server, body, generation, status};

/// What hostile clients may cost in a test: each is given up soon.
const SOON: Limits = Limits { connections: 2, silence: Duration::from_millis(300), stall: Duration::from_millis(300) };

#[test]
fn names_that_climb_or_hide_find_nothing() {
    let server = Server::http(generation());
    let rows = [
        "/..",
        "/../plain",
        "/./plain",
        "//plain",
        "/plain/",
        "/%2e%2e/plain",
        "/%2fplain",
        "/plain%00",
        "/plain%",
        "/%zz",
        "/%ff%fe",
        "/\\plain",
        "/PLAIN",
        "/ipxe/",
        "/.lkit/stats.json",
        "/etc/passwd",
        "/%2e%2e%2fetc%2fpasswd",
    ];
    for path in rows {
        assert_eq!(status(&server.get(path, "")), "404", "{path}");
    }
    for path in ["/plain?x=../y", "/pl%61in", "http://host/plain", "/plain?"] {
        assert_eq!(status(&server.get(path, "Range: bytes=0-0\r\n")), "206", "{path}");
    }
}

#[test]
fn what_is_no_question_is_refused_and_the_next_client_is_served() {
    let server = Server::http(generation());
    let long = "x".repeat(100_000);
    let many = "X: y\r\n".repeat(1000);
    let rows = [
        ("\r\n\r\n\0\0\0\0\r\n\r\n".to_owned(), "400"),
        ("GET\r\n\r\n".to_owned(), "400"),
        ("GET plain HTTP/1.1\r\nHost: t\r\n\r\n".to_owned(), "400"),
        ("GET /plain HTTP/9.9\r\nHost: t\r\n\r\n".to_owned(), "400"),
        ("GET /pl\0ain HTTP/1.1\r\nHost: t\r\n\r\n".to_owned(), "400"),
        ("GET /plain HTTP/1.1\r\nHost: t\r\nA\0: b\r\n\r\n".to_owned(), "400"),
        ("GET /plain HTTP/1.1\r\nHost : t\r\n\r\n".to_owned(), "400"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), ""),
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0".to_owned() + &"\0".repeat(600), "400"),
        (format!("GET /{long} HTTP/1.1\r\nHost: t\r\n\r\n"), "431"),
        (format!("GET /plain HTTP/1.1\r\nHost: t\r\nX: {long}\r\n\r\n"), "431"),
        (format!("GET /plain HTTP/1.1\r\nHost: t\r\n{many}\r\n"), "431"),
        ("POST /plain HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_owned(), "400"),
        ("POST /x HTTP/1.1\r\nHost: t\r\nContent-Length: -1\r\n\r\n".to_owned(), "400"),
        ("GET /x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nzz\r\n".to_owned(), ""),
    ];
    for (request, code) in rows {
        let shown = &request[..request.len().min(60)];
        let mut stream = server.connect();
        let _ = stream.write_all(request.as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        assert!(read.is_ok() || read.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset), "{shown:?}");
        let answer = String::from_utf8_lossy(&answer);
        assert!(status(&answer) == code || code.is_empty() && !answer.contains(" 200 "), "{shown:?}: {answer}");
    }
    assert_eq!(body(&server.get("/empty", "")), "");
    assert_eq!(status(&server.get("/empty", "")), "200");
}

#[test]
fn a_body_that_nobody_wants_is_not_waited_for() {
    let server = Server::http(generation());
    let answer = server.ask("POST /plain HTTP/1.1\r\nHost: t\r\nContent-Length: 999999999999\r\n\r\nsome");
    assert_eq!(status(&answer), "405");
    let answer = server.ask("GET /empty HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n");
    assert_eq!(status(&answer), "200");
}

#[test]
fn questions_that_come_at_once_are_answered_in_order() {
    let server = Server::http(generation());
    let ask = |range: &str, end: &str| format!("GET /plain HTTP/1.1\r\nHost: t\r\nRange: bytes={range}\r\n{end}\r\n");
    let answer = server.ask(ask("0-0", "") + &ask("1-2", "") + &ask("3-5", "Connection: close\r\n"));
    let parts: Vec<&str> = answer.split("content-range: bytes ").skip(1).map(|part| &part[..3]).collect();
    assert_eq!(parts, ["0-0", "1-2", "3-5"]);
}

#[test]
fn clients_that_say_nothing_or_never_end_are_given_up() {
    let server = Server::limited(generation(), SOON);
    // More than there is room for: each waits for those before it.
    let mut slow: Vec<_> = (0..6).map(|_| server.connect()).collect();
    for (at, stream) in slow.iter_mut().enumerate() {
        stream.write_all(&b"GET /plain HTTP/1.1\r\nHost: t\r\nX: "[..at * 6]).unwrap();
    }
    assert_eq!(status(&server.get("/empty", "")), "200");
    for mut stream in slow {
        let read = stream.read_to_end(&mut Vec::new());
        assert!(read.is_ok() || read.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    }
}

#[test]
fn a_connection_that_asks_no_more_is_closed() {
    let server = Server::limited(generation(), SOON);
    let mut stream = server.connect();
    stream.write_all(b"GET /empty HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(status(&answer), "200");
}

#[test]
fn clients_that_read_nothing_are_given_up_and_hold_nobody() {
    // More than all buffers between the two take.
    let server = Server::limited(super::server::large(), SOON);
    let mut deaf: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for stream in &mut deaf {
        stream.write_all(b"GET /large HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
    }
    assert_eq!(status(&server.get("/large", "Range: bytes=0-0\r\n")), "206");
    // There was room for the last client when one of those before it was left at most.
    let mut whole = 0;
    for mut stream in deaf {
        let mut read = 0;
        let mut buf = vec![0; 1 << 20];
        loop {
            match stream.read(&mut buf) {
                Ok(0) => break,
                Ok(len) => read += len as u64,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                Err(error) => panic!("not closed within {LIMIT:?}: {error}"),
            }
        }
        whole += u32::from(read >= super::server::LARGE);
    }
    assert!(whole <= 1, "the whole file came {whole} times");
}

#[test]
fn a_server_that_ends_waits_for_no_client() {
    let server = Server::http(super::server::large());
    let (mut deaf, silent) = (server.connect(), server.connect());
    deaf.write_all(b"GET /large HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
    let mut first = [0; 1];
    deaf.read_exact(&mut first).unwrap();
    drop(server);
    drop((deaf, silent));
}
