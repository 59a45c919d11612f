//! Images of OpenStack: by a Glance of our own that refuses, breaks off and lies; `emulated` has the real one.

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use lkit::base::Digest;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha512};

use super::{Desk, assert_says, names};
use crate::cli::system::{signal, wait_for};
use crate::common::measured::{can_measure, measured, measuring};
use crate::common::scripted::{Answer, Request, Rest, Scripted};
use crate::common::stderr;

/// Most memory of a push, in KiB.
const MOST_KIB: u64 = 96 << 10;

/// Keystone and Glance in memory.
struct Cloud {
    server: Scripted,
    image: Arc<Mutex<Option<Value>>>,
}

impl Cloud {
    /// A cloud that is as it should be, but for the answers that `meddle` gives in its place.
    fn start(meddle: impl Fn(&Request, usize) -> Option<Answer> + Send + Sync + 'static) -> Self {
        let image = Arc::<Mutex<Option<Value>>>::default();
        let inside = image.clone();
        let server = Scripted::start(move |request, before| {
            meddle(request, before).unwrap_or_else(|| answer(&mut inside.lock().unwrap(), request))
        });
        Self { server, image }
    }

    fn image(&self) -> Option<Value> {
        self.image.lock().unwrap().clone()
    }

    fn methods(&self, part: &str) -> Vec<String> {
        self.server.asked(part).into_iter().map(|request| request.method).collect()
    }

    /// A desk with `disk.qcow2` of 5 MiB, and a password.
    fn desk(&self) -> Desk {
        let auth = format!("http://{}/identity", self.server.host);
        let desk = Desk::new(&[
            ("OS_AUTH_URL", &auth),
            ("OS_USERNAME", "me"),
            ("OS_PASSWORD", "verysecret"),
            ("OS_PROJECT_NAME", "work"),
            ("OS_USER_DOMAIN_NAME", "people"),
        ]);
        desk.disk("disk.qcow2", 5);
        desk
    }
}

fn session(host: &str) -> Answer {
    let endpoint = |interface: &str, region: &str, path: &str| json!({"interface": interface, "region_id": region, "url": format!("http://{host}/{path}")});
    let endpoints = json!([
        endpoint("internal", "one", "inside"),
        endpoint("public", "one", "image"),
        endpoint("public", "two", "image/v2/")
    ]);
    let catalog = json!([{"type": "compute", "endpoints": []}, {"type": "image", "endpoints": endpoints}]);
    Answer::new(201, json!({"token": {"catalog": catalog}}).to_string()).header("X-Subject-Token", "tok-1234")
}

fn answer(image: &mut Option<Value>, request: &Request) -> Answer {
    if request.path == "/identity/v3/auth/tokens" {
        return session(&request.headers["host"]);
    }
    assert_eq!(request.headers["x-auth-token"], "tok-1234");
    let path = request.path.strip_prefix("/image/v2/images").unwrap_or_else(|| panic!("{}", request.path));
    match (request.method.as_str(), path, image.as_mut()) {
        ("POST", "", _) => {
            let mut made: Value = serde_json::from_str(&request.body).unwrap();
            made["status"] = "queued".into();
            *image = Some(made.clone());
            Answer::new(201, made.to_string())
        }
        ("PUT", _, Some(image)) => {
            assert!(path.ends_with("/file") && request.headers["content-type"] == "application/octet-stream");
            image["status"] = "active".into();
            image["size"] = request.bytes.len().into();
            image["os_hash_algo"] = "sha512".into();
            image["os_hash_value"] = base16ct::lower::encode_string(&Sha512::digest(&request.bytes)).into();
            Answer::new(204, "")
        }
        ("GET", _, Some(image)) => Answer::new(200, image.to_string()),
        ("DELETE", _, Some(_)) => {
            *image = None;
            Answer::new(204, "")
        }
        _ => Answer::new(404, "<html><h1>404 Not Found</h1>No image found with ID<br /></html>"),
    }
}

#[test]
fn a_file_is_sent_as_one_body_and_becomes_an_image() {
    let cloud = Cloud::start(|_, _| None);
    let desk = cloud.desk();
    let bytes = desk.disk("disk.qcow2", 5);
    let said = desk.good(
        "push openstack --uefi --property os_distro=linuxkit --property min_disk=2 --region two --json disk.qcow2",
    );
    let said: Value = serde_json::from_str(&said).unwrap();
    let mut image = cloud.image().unwrap();
    let id = image["id"].as_str().unwrap().to_owned();
    let url = format!("http://{}/image/v2/images/{id}", cloud.server.host);
    let digest = Digest::of(&bytes).to_string();
    assert_eq!(said, json!({"image": id, "url": url, "digest": digest, "size": bytes.len()}));
    assert!(cloud.server.asked("/file")[0].bytes == bytes);
    for key in ["id", "os_hash_value", "os_hash_algo"] {
        image.as_object_mut().unwrap().remove(key);
    }
    let expected = json!({"name": "disk", "disk_format": "qcow2", "container_format": "bare", "hw_firmware_type": "uefi",
        "os_distro": "linuxkit", "min_disk": 2, "status": "active", "size": bytes.len()});
    assert_eq!(image, expected);
    let login: Value = serde_json::from_str(&cloud.server.asked("/auth/tokens")[0].body).unwrap();
    let user = json!({"name": "me", "domain": {"name": "people"}, "password": "verysecret"});
    let identity = json!({"methods": ["password"], "password": {"user": user}});
    let scope = json!({"project": {"name": "work", "domain": {"id": "default"}}});
    assert_eq!(login, json!({"auth": {"identity": identity, "scope": scope}}));
    assert_eq!(names(&desk.path(".")), ["disk.qcow2"], "nothing is written");
    assert!(!cloud.server.asked("/image").iter().any(|request| format!("{request:?}").contains("verysecret")));
}

#[test]
fn a_body_that_breaks_off_is_sent_again_from_its_beginning() {
    let cloud = Cloud::start(|request, before| match (request.method.as_str(), before) {
        ("PUT", 0) => Some(Answer::new(200, "").claiming(10)),
        ("PUT", 1) => Some(Answer::new(503, "").header("Retry-After", "0")),
        _ => None,
    });
    let desk = cloud.desk();
    let bytes = desk.disk("disk.qcow2", 5);
    desk.good("push openstack disk.qcow2");
    let sent = cloud.server.asked("/file");
    assert_eq!((sent.len(), cloud.image().unwrap()["status"].as_str()), (3, Some("active")));
    assert!(sent.iter().all(|request| request.bytes == bytes));
}

#[test]
fn an_image_whose_making_was_answered_too_late_is_ours() {
    let cloud = Cloud::start(|request, before| match (request.method.as_str(), before) {
        _ if request.path.ends_with("/auth/tokens") => None,
        ("POST", 0) => Some(Answer::new(500, "it may have been made")),
        ("POST", _) => Some(Answer::new(409, "Image ID already exists!")),
        ("GET", 0) => Some(Answer::new(200, r#"{"status":"queued"}"#)),
        ("GET", _) => Some(Answer::new(200, r#"{"status":"active","size":5242880}"#)),
        _ => Some(Answer::new(204, "")),
    });
    cloud.desk().good("push openstack --region one disk.qcow2");
    assert_eq!(cloud.methods("/image"), ["POST", "POST", "GET", "PUT", "GET"]);
}

#[test]
fn what_is_refused_or_lied_about_leaves_no_image() {
    type Meddle = fn(&Request) -> Option<Answer>;
    fn shown(size: usize, hash: &str) -> String {
        json!({"status": "active", "size": size, "os_hash_algo": "sha512", "os_hash_value": hash}).to_string()
    }
    const PAGE: &str = "<html>\n <head><title>413</title></head><body><h1>413 Request Entity Too Large</h1>\n quota verysecret tok-1234<br /></body></html>";
    let rows: [(Meddle, &[&str], i32); 5] = [
        (
            |request| (request.method == "GET").then(|| Answer::new(200, shown(7, ""))),
            &["the image has 7 bytes, not 5242880"],
            5,
        ),
        (
            |request| (request.method == "GET").then(|| Answer::new(200, shown(5 << 20, "00"))),
            &["the image has other bytes than were sent"],
            5,
        ),
        (
            |request| (request.method == "GET").then(|| Answer::new(200, r#"{"status":"killed"}"#)),
            &["the image has the status `killed`, not `active`"],
            4,
        ),
        (
            |request| (request.method == "PUT").then(|| Answer::new(413, PAGE)),
            &["takes no more: 413 quota *** ***", "a quota may be used up"],
            4,
        ),
        (
            |request| {
                (request.method == "POST" && request.path.ends_with("/images"))
                    .then(|| Answer::new(201, r#"{"id":"x"}"#))
            },
            &["the image does not have the `id` that it was given"],
            4,
        ),
    ];
    for (meddle, told, code) in rows {
        let cloud = Cloud::start(move |request, _| meddle(request));
        assert_says(&cloud.desk().bad("push openstack disk.qcow2", code), told);
        assert_eq!((cloud.image(), cloud.methods("/image").last().unwrap().as_str()), (None, "DELETE"), "{told:?}");
    }
}

#[test]
fn an_interrupted_push_is_taken_back() {
    let cloud = Cloud::start(|request, _| (request.method == "PUT").then(|| Answer::new(200, "").then(Rest::Silence)));
    let desk = cloud.desk();
    let mut command = desk.command("push openstack disk.qcow2");
    let child = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    wait_for("the body", || !cloud.server.asked("/file").is_empty());
    signal("TERM", child.id());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert_says(&stderr(&output), &["interrupted while `disk` was pushed"]);
    assert_eq!(cloud.image(), None);
}

#[test]
fn clouds_are_found_where_openstacks_tools_keep_them() {
    let cloud = Cloud::start(|_, _| None);
    let auth = format!("http://{}/identity/v3", cloud.server.host);
    let clouds = format!(
        "clouds:\n  a:\n    auth:\n      auth_url: {auth}\n      application_credential_id: 4711\n    auth_type: v3applicationcredential\n\
         \x20   region_name: one\n  b:\n    auth: {{auth_url: '{auth}', username: u, project_id: p, password: 12}}\n    interface: publicURL\n"
    );
    let secure = "clouds: {a: {auth: {application_credential_secret: hidden}}}\n";
    let login = |desk: &Desk, line: &str| {
        desk.good(line);
        serde_json::from_str::<Value>(&cloud.server.asked("/auth/tokens").last().unwrap().body).unwrap()["auth"].clone()
    };
    let desk = Desk::new(&[("OS_CLOUD", "a"), ("OS_PROJECT_NAME", "not asked"), ("OS_USERNAME", "nor this")]);
    desk.disk("disk.img", 1);
    std::fs::create_dir_all(desk.path(".config/openstack")).unwrap();
    std::fs::write(desk.path(".config/openstack/clouds.yaml"), clouds).unwrap();
    std::fs::write(desk.path(".config/openstack/secure.yaml"), secure).unwrap();
    let credential = json!({"id": "4711", "secret": "hidden"});
    let identity = json!({"methods": ["application_credential"], "application_credential": credential});
    assert_eq!(login(&desk, "push openstack disk.img"), json!({"identity": identity}));
    assert_eq!(cloud.image().unwrap()["disk_format"], "raw");
    let user = json!({"name": "u", "domain": {"id": "default"}, "password": "12"});
    let identity = json!({"methods": ["password"], "password": {"user": user}});
    assert_eq!(
        login(&desk, "push openstack --cloud b disk.img"),
        json!({"identity": identity, "scope": {"project": {"id": "p"}}})
    );
    assert_says(
        &desk.bad("push openstack --cloud c disk.img", 2),
        &["no `clouds.yaml` has a cloud `c`", "there are a, b"],
    );
    let token = Desk::new(&[("OS_AUTH_URL", &auth), ("OS_TOKEN", "old-token"), ("OS_PROJECT_ID", "p")]);
    token.disk("disk.img", 1);
    let identity = json!({"methods": ["token"], "token": {"id": "old-token"}});
    let expected = json!({"identity": identity, "scope": {"project": {"id": "p"}}});
    assert_eq!(login(&token, "push openstack --region one disk.img"), expected);
}

#[test]
fn mistakes_and_refused_logins_are_told_in_plain_words() {
    let auth = ("OS_AUTH_URL", "http://127.0.0.1:1/v3");
    type Row<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str, i32);
    let rows: [Row<'_>; 9] = [
        (&[], "disk.qcow2", "no cloud of OpenStack is known", 2),
        (&[], "disk.tar", "OpenStack takes no file that ends in `.tar`, but .qcow2, .img, .raw", 2),
        (&[], "--property x disk.qcow2", "`x` is no property", 2),
        (&[], "--property protected=true disk.qcow2", "property `protected` cannot be given", 2),
        (&[auth], "disk.qcow2", "no password for OpenStack is known", 4),
        (
            &[auth, ("OS_USERNAME", "u"), ("OS_PASSWORD", "p")],
            "disk.qcow2",
            "hint: check the network, and the address",
            4,
        ),
        (&[auth, ("OS_AUTH_TYPE", "v3oidcpassword")], "disk.qcow2", "by `oidcpassword` is not what lkit does", 1),
        (&[auth, ("OS_INSECURE", "True")], "disk.qcow2", "wants TLS not to be verified, which lkit does not do", 1),
        (
            &[("OS_AUTH_URL", "http://127.0.0.1:1/v2.0"), ("OS_USERNAME", "u"), ("OS_PASSWORD", "p")],
            "disk.qcow2",
            "version 2 of Keystone",
            1,
        ),
    ];
    for (variables, line, told, code) in rows {
        let desk = Desk::new(variables);
        desk.disk("disk.qcow2", 1);
        desk.disk("disk.tar", 1);
        assert_says(&desk.bad(&format!("push openstack {line}"), code), &[told]);
    }
    type Meddle = fn(&Request) -> Option<Answer>;
    let rows: [(Meddle, &[&str]); 4] = [
        (
            |_| Some(Answer::new(401, r#"{"error":{"code":401,"message":"verysecret is wrong"}}"#)),
            &["refused access: 401 *** is wrong", "openstack token issue"],
        ),
        (|_| Some(Answer::new(201, "{}")), &["it gives no token"]),
        (
            |_| Some(Answer::new(201, r#"{"token":{}}"#).header("X-Subject-Token", "tok")),
            &["knows no image service", "OS_PROJECT_NAME"],
        ),
        (|_| None, &["the cloud has no public image service in region `three`", "`--region` names one of one, two"]),
    ];
    for (meddle, told) in rows {
        let cloud = Cloud::start(move |request, _| meddle(request));
        assert_says(&cloud.desk().bad("push openstack --region three disk.qcow2", 4), told);
        assert!(cloud.methods("/image").is_empty());
    }
}

#[test]
fn a_dry_run_tells_the_calls_and_makes_none() {
    let cloud = Cloud::start(|_, _| None);
    let said = cloud.desk().good("push openstack --img-name my/disk --dry-run disk.qcow2");
    let expected = format!(
        "POST http://{}/identity/v3/auth/tokens\n\
         POST /v2/images {{\"name\":\"my/disk\",\"disk_format\":\"qcow2\",\"container_format\":\"bare\"}}\n\
         PUT /v2/images/ID/file (5242880 bytes)\nGET /v2/images/ID, until it is active\n",
        cloud.server.host
    );
    assert_eq!(said, expected);
    assert!(cloud.server.asked("").is_empty());
}

#[test]
fn memory_does_not_grow_with_what_is_pushed() {
    if !can_measure() {
        return;
    }
    let cloud = Cloud::start(|_, _| None);
    let desk = cloud.desk();
    std::fs::File::create(desk.path("disk.raw")).unwrap().set_len(400 << 20).unwrap();
    let notes = desk.path("notes");
    let run = measured(measuring(&desk.command("push openstack disk.raw"), &notes), &notes);
    assert_eq!(run.code, 0, "{}", stderr(&run.output));
    assert_eq!(cloud.image().unwrap()["size"], 400 << 20);
    assert!(run.peak < MOST_KIB, "{} KiB", run.peak);
}
