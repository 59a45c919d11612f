//! One connection: its TLS, its limits, its questions one after another.

use std::convert::Infallible;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio_rustls::TlsAcceptor;

use super::Rules;
use super::answer::{self, Shelf};
use super::body::Body;
use super::patient::Patient;
use super::reply::complaint;

/// Bytes of the head of a question, and about as many of an answer that wait to be sent.
const BUFFER: usize = 16 << 10;
/// Headers of a question; browsers send some twenty.
const HEADERS: usize = 64;

/// Serves connections, each as long as its client asks.
#[derive(Clone)]
pub(super) struct Greeter {
    pub shelf: Arc<dyn Shelf>,
    pub rules: Rules,
}

impl Greeter {
    /// Serves a client to the end of its connection.
    pub(super) async fn serve(self, stream: TcpStream) {
        // Answers are written as a whole, so nothing is gained by waiting for more.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!("a connection has no TCP_NODELAY: {error}");
        }
        let stream = Patient::new(stream, self.rules.limits.stall);
        // On the heap, so that a plain connection is not as large as one by TLS.
        let Some(tls) = self.rules.tls.clone() else { return Box::pin(self.converse(stream)).await };
        let handshake = Box::pin(TlsAcceptor::from(tls).accept(stream));
        match tokio::time::timeout(self.rules.limits.silence, handshake).await {
            Ok(Ok(stream)) => Box::pin(self.converse(stream)).await,
            Ok(Err(error)) => tracing::debug!("a client does not speak TLS: {error}"),
            Err(_) => tracing::debug!("a client does not end its TLS handshake"),
        }
    }

    async fn converse<S: AsyncRead + AsyncWrite + Unpin>(self, stream: S) {
        let shelf = self.shelf;
        let service = service_fn(move |request| answer(shelf.clone(), request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.rules.limits.silence)
            .max_buf_size(BUFFER)
            .max_headers(HEADERS)
            // A client that has asked may say that it asks no more, and still listen.
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(error) = connection.await {
            tracing::debug!("a connection broke: {error}");
        }
    }
}

/// The answer to a question, made on a thread that may block.
async fn answer(shelf: Arc<dyn Shelf>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (head, _) = request.into_parts();
    let answered = spawn_blocking(move || answer::answer(&*shelf, &head)).await;
    Ok(answered.unwrap_or_else(|error| {
        tracing::error!("an answer broke: {error}");
        complaint(StatusCode::INTERNAL_SERVER_ERROR, "the answer broke; the server's log says how")
    }))
}
