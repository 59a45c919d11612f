//! A server that answers as a test says: the faults that a real registry does not show when it is asked to.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A question.
#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
}

impl Request {
    /// The range asked for; the end is exclusive.
    pub fn range(&self) -> Option<(usize, usize)> {
        let (start, end) = self.headers.get("range")?.strip_prefix("bytes=")?.split_once('-')?;
        Some((start.parse().unwrap(), end.parse::<usize>().unwrap() + 1))
    }
}

/// An answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// What Content-Length says, when it is not the truth: the connection ends after the body.
    pub claims: Option<usize>,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), ..Self::default() }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn claiming(mut self, length: usize) -> Self {
        self.claims = Some(length);
        self
    }

    /// What a good registry answers to a question for these bytes.
    pub fn part_of(bytes: &[u8], request: &Request) -> Self {
        match request.range() {
            None => Self::new(200, bytes),
            Some((start, _)) if start >= bytes.len() => Self::new(416, ""),
            Some((start, end)) => {
                let end = end.min(bytes.len());
                let range = format!("bytes {start}-{}/{}", end - 1, bytes.len());
                Self::new(206, &bytes[start..end]).header("Content-Range", range)
            }
        }
    }
}

/// The server. It ends with the test's process.
pub struct Scripted {
    pub host: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Scripted {
    /// Answers each question by `script`, which also gets the number of questions for that path before.
    pub fn start(script: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, script) = (Arc::clone(&requests), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (seen, script) = (Arc::clone(&seen), Arc::clone(&script));
                std::thread::spawn(move || serve(&stream.unwrap(), &seen, &*script));
            }
        });
        Self { host, requests }
    }

    /// The questions so far for paths that hold `part`.
    pub fn asked(&self, part: &str) -> Vec<Request> {
        self.requests.lock().unwrap().iter().filter(|request| request.path.contains(part)).cloned().collect()
    }
}

fn serve(mut stream: &TcpStream, seen: &Mutex<Vec<Request>>, script: &dyn Fn(&Request, usize) -> Answer) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let Some(path) = lines.next().and_then(|line| line.split(' ').nth(1).map(str::to_owned)) else { return };
    let headers = lines.take_while(|line| !line.is_empty());
    let headers = headers.filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        Some((name.to_lowercase(), value.to_owned()))
    });
    let request = Request { path, headers: headers.collect() };
    let before = {
        let mut seen = seen.lock().unwrap();
        seen.push(request.clone());
        seen.iter().filter(|other| other.path == request.path).count() - 1
    };
    let answer = script(&request, before);
    let length = answer.claims.unwrap_or(answer.body.len());
    let mut text = format!("HTTP/1.1 {} X\r\nContent-Length: {length}\r\nConnection: close\r\n", answer.status);
    for (name, value) in &answer.headers {
        text += &format!("{name}: {value}\r\n");
    }
    // The client may have gone; that is what some tests are about.
    let _ = stream.write_all(format!("{text}\r\n").as_bytes()).and_then(|()| stream.write_all(&answer.body));
}
