//! A server that answers as a test says: the faults that a real registry does not show when it is asked to.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A question.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    /// What was sent, if it is text, such as a form.
    pub body: String,
    /// The same as it is.
    pub bytes: Vec<u8>,
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
    /// What follows the body.
    pub rest: Rest,
}

/// What follows a body, until the client has had enough. There is no Content-Length then, unless one is claimed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rest {
    /// Nothing; the connection ends.
    #[default]
    Nothing,
    /// More and more of this byte, as fast as it goes.
    Endless(u8),
    /// This byte every few milliseconds.
    Drip(u8),
    /// Silence.
    Silence,
    /// No body at all, but headers without end.
    Headers,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), ..Self::default() }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn then(mut self, rest: Rest) -> Self {
        self.rest = rest;
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
    others: Arc<AtomicUsize>,
}

impl Scripted {
    /// Answers each question by `script`, which also gets the number of questions for that path before.
    pub fn start(script: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let others = Arc::new(AtomicUsize::new(0));
        let (seen, strange, script) = (Arc::clone(&requests), Arc::clone(&others), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (seen, strange, script) = (Arc::clone(&seen), Arc::clone(&strange), Arc::clone(&script));
                std::thread::spawn(move || {
                    if serve(&stream.unwrap(), &seen, &*script).is_none() {
                        strange.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        Self { host, requests, others }
    }

    /// Connections that came with something else than a question.
    pub fn others(&self) -> usize {
        self.others.load(Ordering::SeqCst)
    }

    /// Waits for the first question for a path that holds `part`.
    pub fn wait_for(&self, part: &str) {
        let begin = Instant::now();
        while self.asked(part).is_empty() {
            assert!(begin.elapsed() < Duration::from_secs(60), "waited a minute for a question");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// The questions so far for paths that hold `part`.
    pub fn asked(&self, part: &str) -> Vec<Request> {
        self.requests.lock().unwrap().iter().filter(|request| request.path.contains(part)).cloned().collect()
    }
}

/// Answers a question; `None` when it is none, such as the beginning of TLS.
fn serve(stream: &TcpStream, seen: &Mutex<Vec<Request>>, script: &dyn Fn(&Request, usize) -> Answer) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut lines = reader.by_ref().lines().map_while(Result::ok);
    let line = lines.next()?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let headers = lines.take_while(|line| !line.is_empty());
    let headers = headers.filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        Some((name.to_lowercase(), value.to_owned()))
    });
    let headers: HashMap<_, _> = headers.collect();
    let mut bytes = vec![0; headers.get("content-length").map_or(0, |length: &String| length.parse().unwrap())];
    // A client that goes before it has sent its form gets no answer.
    if reader.read_exact(&mut bytes).is_err() {
        return Some(());
    }
    let body = String::from_utf8_lossy(&bytes).into_owned();
    let request = Request { method, path, headers, body, bytes };
    let before = {
        let mut seen = seen.lock().unwrap();
        seen.push(request.clone());
        seen.iter().filter(|other| other.path == request.path).count() - 1
    };
    let answer = script(&request, before);
    // The client may have gone; that is what some tests are about.
    let _ = send(stream, &answer);
    Some(())
}

fn send(mut stream: &TcpStream, answer: &Answer) -> std::io::Result<()> {
    let mut text = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", answer.status);
    if let Some(length) = answer.claims.or((answer.rest == Rest::Nothing).then_some(answer.body.len())) {
        text += &format!("Content-Length: {length}\r\n");
    }
    for (name, value) in &answer.headers {
        text += &format!("{name}: {value}\r\n");
    }
    stream.write_all(text.as_bytes())?;
    if answer.rest != Rest::Headers {
        stream.write_all(b"\r\n")?;
        stream.write_all(&answer.body)?;
    }
    let megabyte = |byte| vec![byte; 1 << 20];
    match answer.rest {
        Rest::Nothing => Ok(()),
        Rest::Endless(byte) => repeat(stream, &megabyte(byte), Duration::ZERO),
        Rest::Drip(byte) => repeat(stream, &[byte], Duration::from_millis(20)),
        Rest::Silence => repeat(stream, b"", Duration::from_secs(1)),
        Rest::Headers => repeat(stream, b"X-More: and more\r\n", Duration::ZERO),
    }
}

/// Writes `bytes` again and again until the client has gone.
fn repeat(mut stream: &TcpStream, bytes: &[u8], pause: Duration) -> std::io::Result<()> {
    loop {
        stream.write_all(bytes)?;
        std::thread::park_timeout(pause);
        // A client that has gone is noticed even where nothing is written.
        if bytes.is_empty() && stream.peek(&mut [0])? == 0 {
            return Ok(());
        }
    }
}
