//! Images of machines (AMI) that EC2 makes of a disk in a bucket.
//!
//! # Format
//! "Amazon EC2 API Reference", version 2016-11-15: ImportSnapshot, DescribeImportSnapshotTasks, CancelImportTask,
//! RegisterImage, DeleteSnapshot. Questions are forms, answers XML.
//!
//! # Invariants
//! An import that is not waited for any more is cancelled, and a snapshot of which no image can be made is deleted.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::{Method, Url};

use super::s3::refusal;
use super::service::{Call, Sent, Service, address};
use super::sigv4::{Payload, Signer, escaped};
use super::{Aws, Error, Step, Stored, now, xml};
use crate::base::ErrorKind;

/// How often it is asked how far an import is.
const POLL: Duration = Duration::from_secs(5);

/// EC2 in a region.
pub struct Ec2<'a> {
    aws: &'a Aws,
    service: Service,
    signer: Signer,
    url: Url,
}

/// What an image is to be.
#[derive(Clone, Debug, Default)]
pub struct AmiOptions {
    /// Its name, unique in account and region.
    pub name: String,
    /// Such as `x86_64`.
    pub architecture: &'static str,
    /// The format of the disk, such as `raw`.
    pub format: &'static str,
    /// Whether it has drivers for Elastic Network Adapters.
    pub ena: bool,
    /// Such as `simple`: whether it has drivers for virtual functions of Intel's 82599.
    pub sriov: Option<String>,
    /// Whether it starts by UEFI.
    pub uefi: bool,
    /// Whether it has a TPM.
    pub tpm: bool,
}

/// An image that is to be.
pub struct Ami {
    options: AmiOptions,
}

/// An image that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Such as `ami-…`.
    pub image: String,
    /// Such as `snap-…`.
    pub snapshot: String,
}

impl Ami {
    /// An image, which is checked before anything is pushed.
    ///
    /// # Errors
    /// When no image can have the name, or the options contradict each other.
    pub fn new(options: AmiOptions) -> Result<Self, Error> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || "()[] ./-'@_".contains(c);
        if !(3..=128).contains(&options.name.len()) || !options.name.chars().all(is_name) {
            return Err(Error::usage(format!("no image of AWS can have the name `{}`", options.name))
                .hint("name it with `--img-name`: 3 to 128 letters, digits and any of `()[] ./-'@_`"));
        }
        if options.tpm && !options.uefi {
            return Err(Error::usage("`--tpm` needs `--uefi`"));
        }
        Ok(Self { options })
    }

    /// What making it comes to, in words: a line for each step.
    pub fn plan(&self, aws: &Aws, url: &str) -> String {
        let AmiOptions { name, architecture, format, .. } = &self.options;
        let more: String = self.abilities().iter().map(|(key, value)| format!(" {key}={value}")).collect();
        format!(
            "EC2 ImportSnapshot {format} {url} in {}\nEC2 DescribeImportSnapshotTasks, until it is completed\n\
             EC2 RegisterImage `{name}` {architecture} of the snapshot{more}\n",
            aws.region
        )
    }

    /// The parameters of RegisterImage.
    fn registration(&self, snapshot: &str) -> Vec<(&'static str, String)> {
        let AmiOptions { name, architecture, .. } = &self.options;
        let text = |text: &str| text.to_owned();
        let mut form = vec![
            ("Name", name.clone()),
            ("Description", format!("LinuxKit: {name} image")),
            ("Architecture", text(architecture)),
            ("RootDeviceName", text("/dev/sda1")),
            ("VirtualizationType", text("hvm")),
            ("BlockDeviceMapping.1.DeviceName", text("/dev/sda1")),
            ("BlockDeviceMapping.1.Ebs.DeleteOnTermination", text("true")),
            ("BlockDeviceMapping.1.Ebs.SnapshotId", text(snapshot)),
            ("BlockDeviceMapping.1.Ebs.VolumeType", text("standard")),
        ];
        form.extend(self.abilities());
        form
    }

    /// Those that say what the image can do.
    fn abilities(&self) -> Vec<(&'static str, String)> {
        let AmiOptions { ena, sriov, uefi, tpm, .. } = &self.options;
        let mut form = vec![("EnaSupport", ena.to_string())];
        form.extend(sriov.iter().map(|sriov| ("SriovNetSupport", sriov.clone())));
        form.extend(uefi.then(|| ("BootMode", "uefi".to_owned())));
        form.extend(tpm.then(|| ("TpmSupport", "v2.0".to_owned())));
        form
    }
}

impl<'a> Ec2<'a> {
    /// EC2 in the region of an account.
    ///
    /// # Errors
    /// When its address is none.
    pub fn new(aws: &'a Aws) -> Result<Self, Error> {
        let own = || address(&format!("https://ec2.{}.{}/", aws.region, aws.domain()), "EC2");
        let url = aws.endpoint("ec2")?.map_or_else(own, Ok)?;
        Ok(Self { service: Service::new(&url, &aws.surroundings, aws.secrets())?, signer: aws.signer("ec2"), url, aws })
    }

    /// Makes an image of a disk in a bucket.
    ///
    /// # Errors
    /// When that fails, is interrupted, or takes longer than `limit`; then there is neither image nor snapshot.
    pub fn register(&self, ami: &Ami, bucket: &str, stored: &Stored, limit: Duration) -> Result<Registered, Error> {
        let import = Import { ec2: self, task: OnceLock::new(), snapshot: OnceLock::new() };
        let name = &ami.options.name;
        let done = self.service.wait(name, limit, import.run(ami, bucket, stored));
        done.map_err(|error| import.taken_back(error))
    }

    /// The answer to an action, which is a success.
    async fn act(&self, action: &str, form: &[(&str, String)]) -> Result<String, Error> {
        let head = format!("Action={action}&Version=2016-11-15");
        let form = form.iter().map(|(key, value)| format!("&{}={}", escaped(key), escaped(value)));
        let call = Call::new(Method::POST, self.url.clone()).body(head + &form.collect::<String>());
        let call = call.header("content-type", "application/x-www-form-urlencoded; charset=utf-8");
        let sign = || self.signer.sign(call.clone(), Payload::Signed, now());
        let reply = self.service.call(&sign, &Sent::default()).await?;
        let text = reply.text();
        if reply.status.is_success() {
            return Ok(text);
        }
        let complaint = xml::complaint(&text);
        let answer = format!("{} {} {}", reply.status.as_u16(), complaint.code, complaint.message);
        let error = refusal(&self.service, (reply.status.as_u16(), &complaint.code), &answer);
        Err(match complaint.code.as_str() {
            "InvalidAMIName.Duplicate" => {
                error.hint("name it otherwise with `--img-name`, or deregister the one that is there")
            }
            "InvalidParameter" if answer.contains("vmimport") => {
                error.hint("make the role `vmimport`, as \"Required permissions for VM Import/Export\" of AWS says")
            }
            _ => error,
        })
    }
}

/// An import, and what has come of it so far.
struct Import<'a> {
    ec2: &'a Ec2<'a>,
    task: OnceLock<String>,
    snapshot: OnceLock<String>,
}

impl Import<'_> {
    async fn run(&self, ami: &Ami, bucket: &str, stored: &Stored) -> Result<Registered, Error> {
        let (ec2, name) = (self.ec2, &ami.options.name);
        let form = [
            ("Description", format!("LinuxKit: {name}")),
            ("DiskContainer.Description", format!("LinuxKit: {name} disk")),
            ("DiskContainer.Format", ami.options.format.to_owned()),
            ("DiskContainer.UserBucket.S3Bucket", bucket.to_owned()),
            ("DiskContainer.UserBucket.S3Key", stored.key.clone()),
        ];
        let answer = ec2.act("ImportSnapshot", &form).await?;
        let task = self.named(&answer, &["importTaskId"], "import-")?;
        let _ = self.task.set(task.clone());
        let snapshot = self.finished(&task, &answer).await?;
        let _ = self.snapshot.set(snapshot.clone());
        let answer = ec2.act("RegisterImage", &ami.registration(&snapshot)).await?;
        Ok(Registered { image: self.named(&answer, &["imageId"], "ami-")?, snapshot })
    }

    /// Waits for the snapshot.
    async fn finished(&self, task: &str, first: &str) -> Result<String, Error> {
        let mut answer = first.to_owned();
        let mut path = vec!["snapshotTaskDetail"];
        loop {
            let of = |name| xml::text(&answer, &[path.as_slice(), &[name]].concat()).unwrap_or_default();
            match of("status").as_str() {
                "completed" => {
                    return self.named(&answer, &[path.as_slice(), &["snapshotId"]].concat(), "snap-");
                }
                "deleted" | "deleting" | "error" => {
                    let message =
                        format!("EC2 could not make a snapshot: {}", self.ec2.service.told(&of("statusMessage")));
                    return Err(Error::new(ErrorKind::Unsupported, message));
                }
                _ => {}
            }
            let percent = of("progress").parse().unwrap_or(0).min(100);
            (self.ec2.aws.surroundings.told)(Step::Waiting { on: "the snapshot of EC2", percent });
            // The first answer is not asked for again at once.
            if path.len() > 1 || answer != first {
                tokio::time::sleep(POLL).await;
            }
            answer = self.ec2.act("DescribeImportSnapshotTasks", &[("ImportTaskId.1", task.to_owned())]).await?;
            path = vec!["importSnapshotTaskSet", "item", "snapshotTaskDetail"];
        }
    }

    /// An identifier in an answer, which begins as such do.
    fn named(&self, answer: &str, path: &[&str], start: &str) -> Result<String, Error> {
        let is_plain = |id: &String| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let id = xml::text(answer, path).filter(|id| id.starts_with(start) && id.len() < 128 && is_plain(id));
        id.ok_or_else(|| self.ec2.service.answered(&format!("it gives no `{}`", path.last().unwrap_or(&"id"))))
    }

    /// The error, when what was made so far is gone.
    fn taken_back(&self, error: Error) -> Error {
        let (action, key, id) = match (self.snapshot.get(), self.task.get()) {
            (Some(snapshot), _) => ("DeleteSnapshot", "SnapshotId", snapshot),
            (None, Some(task)) => ("CancelImportTask", "ImportTaskId", task),
            (None, None) => return error,
        };
        let form = [(key, id.clone())];
        let done = self.ec2.service.clean_up(async { self.ec2.act(action, &form).await.map(drop) });
        if done || error.hint_is_set() {
            error
        } else {
            error.hint(format!("`{id}` of EC2 is left: {action} failed, too"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Fault as _;

    #[test]
    fn names_and_options_of_images_are_checked_before_anything_is_pushed() {
        let options = |name: &str| AmiOptions { name: name.to_owned(), ..AmiOptions::default() };
        assert!(Ami::new(options("a/b (1)")).is_ok());
        for name in ["ab", "a:b:c", "a\nbc", &"x".repeat(129)] {
            assert_eq!(Ami::new(options(name)).err().unwrap().kind(), ErrorKind::Usage, "{name}");
        }
        let tpm = AmiOptions { tpm: true, ..options("abc") };
        assert_eq!(Ami::new(tpm).err().unwrap().to_string(), "`--tpm` needs `--uefi`");
    }
}
