//! An authority of a test's own, and a server that speaks TLS by it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::common::{have, run};

/// Makes certificates that nobody trusts.
pub struct Authority {
    dir: PathBuf,
}

impl Authority {
    /// An authority with its files in `dir`; `None` where openssl is missing.
    pub fn new(dir: &Path) -> Option<Self> {
        if !have(&["openssl"]) {
            return None;
        }
        fs::create_dir_all(dir).unwrap();
        let authority = Self { dir: dir.to_owned() };
        authority.make("ca", "basicConstraints = critical, CA:TRUE\nkeyUsage = keyCertSign", &[]);
        Some(authority)
    }

    /// The file of its own certificate.
    pub fn root(&self) -> PathBuf {
        self.dir.join("ca.crt")
    }

    /// The files of a certificate for servers and clients on the loopback interface, and of its key.
    pub fn certificate(&self, name: &str) -> (PathBuf, PathBuf) {
        let extensions = "basicConstraints = critical, CA:FALSE\nsubjectAltName = IP:127.0.0.1, DNS:localhost\n\
                          extendedKeyUsage = serverAuth, clientAuth";
        let key = self.dir.join("ca.key");
        self.make(name, extensions, &["-CA", self.root().to_str().unwrap(), "-CAkey", key.to_str().unwrap()]);
        (self.dir.join(format!("{name}.crt")), self.dir.join(format!("{name}.key")))
    }

    fn make(&self, name: &str, extensions: &str, by: &[&str]) {
        let path = |end: &str| self.dir.join(format!("{name}.{end}")).display().to_string();
        let text = "[req]\ndistinguished_name = name\nprompt = no\nx509_extensions = extensions\n";
        fs::write(path("cnf"), format!("{text}[name]\nCN = {name}\n[extensions]\n{extensions}\n")).unwrap();
        let made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let made = made.into_iter().chain(["-days", "3650"]).map(str::to_owned);
        let files = [("-config", "cnf"), ("-out", "crt"), ("-keyout", "key")];
        let files = files.into_iter().flat_map(|(option, end)| [option.to_owned(), path(end)]);
        run("openssl", made.chain(files).chain(by.iter().map(|text| (*text).to_owned())));
    }

    /// Answers every question by TLS with a text, which may depend on its first line. The server's host and port.
    pub fn serve(&self, answer: impl Fn(&str) -> String + Send + 'static) -> String {
        let (certificate, key) = self.certificate("served");
        lkit::oci::provide_tls();
        let certificate = CertificateDer::from_pem_file(certificate).unwrap();
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let connection = ServerConnection::new(config.clone()).unwrap();
                let mut reader = BufReader::new(StreamOwned::new(connection, stream.unwrap()));
                let mut line = String::new();
                // A client that does not trust us goes.
                if reader.read_line(&mut line).is_ok() {
                    reader.by_ref().lines().map_while(Result::ok).find(String::is_empty);
                    let mut stream = reader.into_inner();
                    let _ = stream.write_all(answer(&line).as_bytes()).and_then(|()| stream.flush());
                    stream.conn.send_close_notify();
                    let _ = stream.flush();
                }
            }
        });
        host
    }
}
