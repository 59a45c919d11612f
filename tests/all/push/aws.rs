//! Images that EC2 makes of disks: by requests that are recorded, since no emulator imports snapshots.

use std::process::Stdio;

use serde_json::Value;

use super::bucket::Bucket;
use super::{AWS, Desk, assert_says};
use crate::cli::system::{signal, wait_for};
use crate::common::scripted::{Answer, Request, Scripted};

/// A server of EC2 that answers each action as `script` says, by the number of its questions before.
fn ec2(script: impl Fn(&str, usize) -> Answer + Send + Sync + 'static) -> Scripted {
    let counts = std::sync::Mutex::new(std::collections::HashMap::<String, usize>::new());
    Scripted::start(move |request, _| {
        let action = action(request);
        let before = {
            let mut counts = counts.lock().unwrap();
            let count = counts.entry(action.clone()).or_default();
            *count += 1;
            *count - 1
        };
        script(&action, before)
    })
}

fn action(request: &Request) -> String {
    request.body.split('&').next().unwrap().trim_start_matches("Action=").to_owned()
}

/// An answer with the detail of an import.
fn detail(status: &str) -> String {
    format!(
        "<snapshotTaskDetail><status>{status}</status><progress>42</progress>\
             <statusMessage>bad disk</statusMessage><snapshotId>snap-1</snapshotId></snapshotTaskDetail>"
    )
}

fn begun() -> Answer {
    Answer::new(200, format!("<R><importTaskId>import-snap-1</importTaskId>{}</R>", detail("active")))
}

fn told(status: &str) -> Answer {
    let body = format!("<R><importSnapshotTaskSet><item>{}</item></importSnapshotTaskSet></R>", detail(status));
    Answer::new(200, body)
}

fn desk(bucket: &Bucket, ec2: &Scripted) -> Desk {
    let [a, b, c] = AWS;
    let (s3, ec2) = (bucket.url(), format!("http://{}/", ec2.host));
    let desk = Desk::new(&[a, b, c, ("AWS_ENDPOINT_URL_S3", &s3), ("AWS_ENDPOINT_URL_EC2", &ec2)]);
    desk.disk("disk.raw", 1);
    desk
}

fn actions(ec2: &Scripted) -> Vec<String> {
    ec2.asked("").iter().map(action).collect()
}

#[test]
fn an_image_is_registered_of_the_snapshot_of_the_disk() {
    let bucket = Bucket::start(|_, _| None);
    let ec2 = ec2(|action, _| match action {
        "ImportSnapshot" => begun(),
        "DescribeImportSnapshotTasks" => told("completed"),
        _ => Answer::new(200, "<R><imageId>ami-7</imageId></R>"),
    });
    let desk = desk(&bucket, &ec2);
    let said = desk.good("push aws --bucket bkt --img-name my/disk --ena --sriov simple --uefi --tpm --json disk.raw");
    let json: Value = serde_json::from_str(&said).unwrap();
    assert_eq!([&json["image"], &json["snapshot"], &json["region"]], ["ami-7", "snap-1", "us-east-1"]);
    assert_eq!(bucket.held().objects.len(), 1);
    let asked = ec2.asked("");
    assert_eq!(actions(&ec2), ["ImportSnapshot", "DescribeImportSnapshotTasks", "RegisterImage"]);
    let bodies: Vec<_> = asked.iter().map(|request| request.body.as_str()).collect();
    assert_eq!(
        bodies[0],
        "Action=ImportSnapshot&Version=2016-11-15&Description=LinuxKit%3A%20my%2Fdisk\
        &DiskContainer.Description=LinuxKit%3A%20my%2Fdisk%20disk&DiskContainer.Format=raw\
        &DiskContainer.UserBucket.S3Bucket=bkt&DiskContainer.UserBucket.S3Key=my%2Fdisk.raw"
    );
    assert_eq!(bodies[1], "Action=DescribeImportSnapshotTasks&Version=2016-11-15&ImportTaskId.1=import-snap-1");
    assert_eq!(
        bodies[2],
        "Action=RegisterImage&Version=2016-11-15&Name=my%2Fdisk\
        &Description=LinuxKit%3A%20my%2Fdisk%20image&Architecture=x86_64&RootDeviceName=%2Fdev%2Fsda1\
        &VirtualizationType=hvm&BlockDeviceMapping.1.DeviceName=%2Fdev%2Fsda1\
        &BlockDeviceMapping.1.Ebs.DeleteOnTermination=true&BlockDeviceMapping.1.Ebs.SnapshotId=snap-1\
        &BlockDeviceMapping.1.Ebs.VolumeType=standard&EnaSupport=true&SriovNetSupport=simple&BootMode=uefi\
        &TpmSupport=v2.0"
    );
    let signed = &asked[0].headers["authorization"];
    assert!(signed.contains("/us-east-1/ec2/aws4_request, SignedHeaders=content-type;host;x-amz-date, "), "{signed}");
}

#[test]
fn an_import_that_fails_is_told_and_leaves_nothing() {
    let refused = || {
        let body = "<Response><Errors><Error><Code>InvalidAMIName.Duplicate</Code><Message>in use</Message></Error>";
        Answer::new(400, format!("{body}</Errors></Response>"))
    };
    let rows: [(&str, &[&str], &[&str]); 3] = [
        ("error", &["could not make a snapshot: bad disk"], &["CancelImportTask"]),
        ("completed", &["400 InvalidAMIName.Duplicate in use", "--img-name"], &["RegisterImage", "DeleteSnapshot"]),
        ("odd", &["was not pushed within 4 s", "--timeout"], &["CancelImportTask"]),
    ];
    for (status, said, last) in rows {
        let bucket = Bucket::start(|_, _| None);
        let ec2 = ec2(move |action, _| match action {
            "ImportSnapshot" => begun(),
            "DescribeImportSnapshotTasks" => told(status),
            "RegisterImage" => refused(),
            _ => Answer::new(200, "<R><return>true</return></R>"),
        });
        let desk = desk(&bucket, &ec2);
        assert_says(
            &desk.bad(
                &format!("push aws --bucket bkt --timeout {} disk.raw", if status == "odd" { 4 } else { 60 }),
                if status == "error" { 1 } else { 4 },
            ),
            said,
        );
        assert!(
            actions(&ec2).ends_with(&last.iter().map(|action| (*action).to_owned()).collect::<Vec<_>>()),
            "{status}"
        );
    }
}

#[test]
fn an_interrupted_import_is_cancelled() {
    let bucket = Bucket::start(|_, _| None);
    let ec2 = ec2(|action, _| match action {
        "ImportSnapshot" => begun(),
        "DescribeImportSnapshotTasks" => told("active"),
        _ => Answer::new(200, "<R><return>true</return></R>"),
    });
    let desk = desk(&bucket, &ec2);
    let mut command = desk.command("push aws --bucket bkt disk.raw");
    let child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    wait_for("the import", || actions(&ec2).iter().any(|action| action == "DescribeImportSnapshotTasks"));
    signal("TERM", child.id());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(
        ec2.asked("").last().unwrap().body,
        "Action=CancelImportTask&Version=2016-11-15&ImportTaskId=import-snap-1"
    );
}

#[test]
fn identifiers_that_are_none_are_not_believed() {
    for answer in ["<R/>", "<R><importTaskId>import-1&amp;Action=X</importTaskId></R>", "no XML", "<!DOCTYPE a><R/>"] {
        let bucket = Bucket::start(|_, _| None);
        let ec2 = ec2(move |_, _| Answer::new(200, answer));
        let said = desk(&bucket, &ec2).bad("push aws --bucket bkt disk.raw", 4);
        assert_says(&said, &["it gives no `importTaskId`"]);
    }
}
