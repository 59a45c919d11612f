//! Who signs an image for an enclave: a key and its certificate, which become PCR8.
//!
//! # Format
//! AWS's crate `aws-nitro-enclaves-image-format` 0.8, `src/utils/eif_signer.rs`: a list of one map with the certificate as
//! PEM and a COSE_Sign1 (RFC 9052, section 4.2) over PCR0, made with ES384 (RFC 9053, section 2.1). Nonces are those of
//! RFC 6979, so that the same image has the same signature.

use std::fmt;

use p384::SecretKey;
use p384::ecdsa::signature::Signer as _;
use p384::ecdsa::{Signature, SigningKey};
use sha2::{Digest as _, Sha384};
use x509_cert::Certificate;
use x509_cert::der::{Decode as _, Document, Encode as _};

use super::Pcr;
use super::cbor::{Cbor, Major};
use super::enclave::pcr;
use crate::base::{ErrorKind, Fault};

/// The protected header of COSE_Sign1: the algorithm (1) is ES384 (-35).
const PROTECTED: [u8; 4] = [0xa1, 0x01, 0x38, 0x22];

/// Why nobody can sign with a key and a certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    /// No private key for ECDSA on P-384.
    #[error("the key is no private key on the curve P-384 in a PEM file")]
    Key,
    /// No certificate.
    #[error("the certificate is no X.509 certificate in a PEM file")]
    Certificate,
    /// The certificate is for another key.
    #[error("the certificate is for another key")]
    OtherKey,
}

impl Fault for SignerError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Key => "make one with `openssl ecparam -name secp384r1 -genkey -noout -out key.pem`".to_owned(),
            Self::Certificate | Self::OtherKey => {
                "make one with `openssl req -new -x509 -key key.pem -out certificate.pem`".to_owned()
            }
        })
    }
}

/// A certificate, as it is put into images and as it is measured.
pub struct SigningCertificate {
    pem: Vec<u8>,
    der: Vec<u8>,
    certificate: Certificate,
}

impl SigningCertificate {
    /// The first certificate of a PEM file.
    ///
    /// # Errors
    /// When the file has no certificate.
    pub fn new(pem: &[u8]) -> Result<Self, SignerError> {
        let block = block(pem, &["CERTIFICATE"]).ok_or(SignerError::Certificate)?;
        let (_, document) = Document::from_pem(block).map_err(|_| SignerError::Certificate)?;
        let der = document.into_vec();
        let certificate = Certificate::from_der(&der).map_err(|_| SignerError::Certificate)?;
        Ok(Self { pem: pem.to_vec(), der, certificate })
    }

    /// PCR8 of an image that is signed with its key.
    pub fn pcr(&self) -> Pcr {
        pcr(Sha384::new_with_prefix(&self.der))
    }

    fn key(&self) -> Option<p384::PublicKey> {
        let info = self.certificate.tbs_certificate().subject_public_key_info().to_der().ok()?;
        p384::pkcs8::DecodePublicKey::from_public_key_der(&info).ok()
    }
}

/// A key and its certificate.
pub struct Signer {
    key: SigningKey,
    certificate: SigningCertificate,
}

impl fmt::Debug for Signer {
    /// Shows nothing of the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    /// Takes a private key from a PEM file (SEC1 or PKCS#8), and the certificate for it.
    ///
    /// # Errors
    /// When the key is not one on P-384, or the certificate is for another one.
    pub fn new(key: &[u8], certificate: SigningCertificate) -> Result<Self, SignerError> {
        let block = block(key, &["EC PRIVATE KEY", "PRIVATE KEY"]).ok_or(SignerError::Key)?;
        let key = SecretKey::from_pem(block).map_err(|_| SignerError::Key)?;
        match certificate.key() {
            Some(public) if public == key.public_key() => Ok(Self { key: key.into(), certificate }),
            _ => Err(SignerError::OtherKey),
        }
    }

    /// The signature section of an image with this PCR0.
    pub fn sign(&self, image: &Pcr) -> Vec<u8> {
        let payload = Cbor::default().head(Major::Map, 2);
        let payload = payload.text("register_index").head(Major::Unsigned, 0).text("register_value").numbers(image).0;
        let signed = Cbor::default().head(Major::Array, 4).text("Signature1").bytes(&PROTECTED).bytes(&[]);
        let signature: Signature = self.key.sign(&signed.bytes(&payload).0);
        let message = Cbor::default().head(Major::Array, 4).bytes(&PROTECTED).head(Major::Map, 0);
        let message = message.bytes(&payload).bytes(&signature.to_bytes()).0;
        let section = Cbor::default().head(Major::Array, 1).head(Major::Map, 2);
        section.text("signing_certificate").numbers(&self.certificate.pem).text("signature").numbers(&message).0
    }
}

/// The first block of a PEM file that has one of these labels. Tools write parameters and texts in front of it.
fn block<'a>(pem: &'a [u8], labels: &[&str]) -> Option<&'a str> {
    let text = std::str::from_utf8(pem).ok()?;
    let start = labels.iter().filter_map(|label| text.find(&format!("-----BEGIN {label}-----"))).min()?;
    let rest = &text[start..];
    let end = rest.find("-----END ").and_then(|end| Some(end + 9 + rest[end + 9..].find("-----")? + 5))?;
    Some(&rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_with_the_key_is_found_behind_its_parameters() {
        let text = b"-----BEGIN EC PARAMETERS-----\nx\n-----END EC PARAMETERS-----\n\
                     -----BEGIN EC PRIVATE KEY-----\ny\n-----END EC PRIVATE KEY-----\nrest";
        let expected = "-----BEGIN EC PRIVATE KEY-----\ny\n-----END EC PRIVATE KEY-----";
        assert_eq!(block(text, &["EC PRIVATE KEY", "PRIVATE KEY"]), Some(expected));
        for cut in 0..text.len() - 6 {
            assert_eq!(block(&text[..cut], &["EC PRIVATE KEY"]), None, "{cut}");
        }
        assert_eq!(block(b"\xff", &["CERTIFICATE"]), None);
    }

    #[test]
    fn what_is_no_key_or_certificate_is_refused() {
        for text in ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert_eq!(SigningCertificate::new(text.as_bytes()).err(), Some(SignerError::Certificate), "{text}");
        }
    }
}
