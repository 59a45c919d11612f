//! Artifacts on their way into clouds: streamed into buckets and stores, then made images of.
//!
//! ```text
//!  artifact ──Parts──▶ S3 bucket ──Ec2──▶ snapshot ──▶ AMI
//!                └───▶ bucket of Google Cloud ──Gce──▶ image
//!           ──Pages──▶ page blob of Azure ──▶ managed image
//!           ──Streamed──▶ image of OpenStack's Glance
//! ```
//!
//! # Invariants
//! - Nothing is written here. At most [`IN_FLIGHT`](parts::IN_FLIGHT) parts are in memory, whatever the size.
//! - What fails or is interrupted is taken back: nothing is published half.
//! - Secrets are sent to whom they are for, and are never a part of an error.

mod aws;
mod azure;
mod ec2;
mod error;
mod google;
mod ini;
mod openstack;
mod parts;
mod s3;
mod service;
mod sigv4;
mod xml;

use std::path::PathBuf;

pub use aws::{Aws, AwsOptions};
pub use azure::{Azure, AzureOptions, ManagedImage, ManagedImageOptions, PageBlob, PageBlobOptions};
pub use ec2::{Ami, AmiOptions, Ec2, Registered};
pub use error::Error;
pub use google::{Gce, GceImage, Gcp, GcpOptions, GcsBucket, Readers};
pub use openstack::{Glance, GlanceImage, GlanceImageOptions, OpenStack, OpenStackOptions};
pub use s3::{Bucket, Stored};

use crate::base::{Digest, Ending};
use crate::oci::Trust;

/// What a variable is set to.
pub type Variables = dyn Fn(&str) -> Option<String> + Send + Sync;

/// What the program stands in: where providers keep what they know of the user, and who hears how things go.
pub struct Surroundings {
    /// The variables of the environment.
    pub variable: Box<Variables>,
    /// The home directory.
    pub home: Option<PathBuf>,
    /// Whom TLS trusts.
    pub trust: Trust,
    /// Whether the program is to end.
    pub ending: Ending,
    /// Hears how things go.
    pub told: Box<dyn Fn(Step<'_>) + Send + Sync>,
}

/// How far a push is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Bytes that the network has taken.
    Sent {
        /// What is pushed.
        name: &'a str,
        /// So many.
        done: u64,
        /// Of so many.
        size: u64,
    },
    /// The service works on something.
    Waiting {
        /// What on, in a line.
        on: &'a str,
        /// How far it says it is, from 0 to 100.
        percent: u8,
    },
    /// What the user had better know, in a line.
    Noted(&'a str),
}

impl Default for Surroundings {
    fn default() -> Self {
        Self {
            variable: Box::new(|_| None),
            home: None,
            trust: Trust::default(),
            ending: Ending::default(),
            told: Box::new(|_| {}),
        }
    }
}

impl Surroundings {
    /// A variable that is set to something.
    fn variable(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }
}

/// A number that is written in digits alone.
fn digits(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The time in seconds since 1970.
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.ok().and_then(|since| i64::try_from(since.as_secs()).ok()).unwrap_or_default()
}

/// A UUID that tells what this push makes from all else of that name.
fn mark(name: &str) -> String {
    use std::hash::{BuildHasher as _, RandomState};
    let chance = [RandomState::new().hash_one(name), RandomState::new().hash_one(now())];
    Digest::of(chance.map(u64::to_le_bytes).as_flattened()).uuid().to_string()
}
