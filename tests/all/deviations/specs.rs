//! Specs: what is accepted, what is refused, and what a build leaves.

use crate::common::scripted::{Answer, Scripted};
use crate::common::stdout;
use crate::common::workshop::Workshop;

fn shop() -> Workshop {
    let mut shop = Workshop::new();
    shop.image("a", &["x = 1"]).image("k", &["kernel = K"]);
    shop
}

#[test]
fn d15_no_sbom_is_written_unless_it_is_asked_for_and_every_build_is_the_same() {
    let shop = shop();
    let spec = "kernel: {image: q.io/k, tar: none}\ninit: [q.io/a]\nservices: [{name: s, image: q.io/a}]";
    let root = shop.initrd(spec);
    assert!(root.0.iter().all(|entry| !entry.path.contains("sbom") && !entry.path.contains("spdx")));
    let digests = |cache: &str| {
        let line = format!("build --sbom --digest -f tar -f kernel+initrd -f kernel+squashfs --cache {cache} x.yml");
        stdout("build", &shop.output(&line))
    };
    assert_eq!(digests("one"), digests("two"));
}

#[test]
fn d16_the_older_outputs_key_chooses_the_formats() {
    let shop = shop();
    let spec = "kernel: {image: q.io/k, cmdline: c, tar: none}\noutputs: [{format: tar}, {format: kernel+initrd}]";
    shop.write("o.yml", spec);
    std::fs::create_dir(shop.path("out")).unwrap();
    stdout("build", &shop.output("build --dir out o.yml"));
    let names =
        std::fs::read_dir(shop.path("out")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    assert_eq!(names, ["o-cmdline", "o-initrd.img", "o-kernel", "o.tar"]);
    shop.write("o.yml", spec.replace("tar}", "rpi4}"));
    assert!(shop.bad("build o.yml", 3).contains("`rpi4` is no output format\n  --> o.yml:2:20"));
    assert!(shop.bad("build -f rpi4 o.yml", 2).contains("rpi4"));
}

/// Each row: a spec that linuxkit takes, the exit code, and what the message has to say.
const REFUSED: [(&str, i32, &[&str]); 12] = [
    ("services: [{name: '', image: q.io/a}]", 3, &["x.yml:1:19", "the name of a container is empty"]),
    ("services: [{name: ../../s, image: q.io/a}]", 3, &["x.yml:1:19", "`../../s`"]),
    ("services: [{name: a/b, image: q.io/a}]", 3, &["x.yml:1:19", "the name of a container cannot hold `/`: `a/b`"]),
    ("onboot: [{name: .., image: q.io/a}]", 3, &["x.yml:1:17", "`..` cannot name a container"]),
    ("init: [q.io/a]\nfiles: [{path: ../up, contents: x}]", 3, &["x.yml:2:16", "`../up`"]),
    ("init: [q.io/a]\nfiles: [{path: '', contents: x}]", 3, &["x.yml:2:16", "empty"]),
    ("init: [q.io/arm]", 4, &["x.yml:1:8", "linux/arm64", "linux/amd64"]),
    ("services: [{name: s, image: q.io/a, binds: ['v:/v']}]", 3, &["x.yml:1:45", "no volume is named `v`"]),
    ("services: [{name: s, image: q.io/a, mounts: [{type: bind, source: v, destination: /v}]}]", 3, &["`v`"]),
    ("{}", 3, &["x.yml:1:1", "the spec is empty"]),
    ("init: [q.io/a]\n---\ninit: [q.io/a]\n", 3, &["x.yml:2:1", "a second YAML document begins here"]),
    ("kernel: {image: q.io/a}", 3, &["x.yml:1:17", "`kernel`"]),
];

#[test]
fn d19_mistakes_are_refused_with_their_place() {
    let mut shop = shop();
    let arm = shop.described("arm64", &[crate::common::entries::tar_of("x = 1")], serde_json::json!({}));
    shop.layout.name("q.io/arm:latest", &arm);
    for (spec, code, parts) in REFUSED {
        let said = shop.refused(spec, code);
        for part in parts {
            assert!(said.contains(part), "{spec}: no `{part}` in\n{said}");
        }
    }
    let long = format!("init: [q.io/a]\nfiles: [{{path: {}x, contents: x}}]", "d/".repeat(2048));
    assert!(shop.refused(&long, 3).contains("the path is longer than 4095 bytes"));
}

#[test]
fn d21_a_spec_from_a_url_reads_no_file_of_this_machine_unless_it_may() {
    let shop = shop();
    shop.write("secret", "of this machine");
    let text = |optional| {
        let source = shop.path("secret").display().to_string();
        format!("init: [q.io/a]\nfiles: [{{path: s, source: '{source}'{optional}, mode: '0644'}}]")
    };
    let (here, optional) = (text(""), text(", optional: true"));
    let there = here.clone();
    let server = Scripted::start(move |request, _| {
        Answer::new(200, if request.path == "/optional.yml" { optional.clone() } else { there.clone() })
    });
    let url = format!("http://{}/there.yml", server.host);
    let refused = format!("error: a spec from a URL may not read `{}` of this machine", shop.path("secret").display());
    shop.write("here.yml", &here);
    shop.write("plain.yml", "init: [q.io/a]");
    for specs in [&url, &url.replace("there", "optional"), &format!("here.yml {url}"), &format!("{url} plain.yml")] {
        let said = shop.bad(&format!("build -f tar -o - {specs}"), 3);
        assert!(
            said.contains(&refused) && said.contains("there.yml:2:27") | said.contains("optional.yml:2:27"),
            "{said}"
        );
        assert!(said.contains("hint: allow it with `--allow-local-sources`"), "{said}");
    }
    for line in [format!("--allow-local-sources {url}"), "here.yml".to_owned(), "plain.yml here.yml".to_owned()] {
        let output = shop.output(&format!("build -f tar -o - {line}"));
        stdout(&line, &output);
        let root = crate::common::workshop::Root(crate::common::entries::of_tar(&output.stdout));
        assert_eq!(root.line("s"), "s = of this machine", "{line}");
    }
    std::fs::create_dir(shop.path("mnt")).unwrap();
    for line in [format!("inspect {url}"), format!("mount --foreground {url} mnt")] {
        let said = shop.bad(&line, 3);
        assert!(said.contains(&refused), "{said}");
    }
}

#[test]
fn d22_a_text_that_begins_with_an_at_sign_stays_unless_it_names_a_package() {
    let mut shop = shop();
    shop.image("hello", &["x = 1"]);
    std::fs::create_dir(shop.path("hello")).unwrap();
    shop.write("hello/build.yml", "org: q.io\nimage: hello\n");
    let spec = "init: [q.io/a]\nfiles:\n- {path: at, contents: '@every 1h'}\n- {path: pkg, contents: '@pkg:hello'}\n";
    let text =
        format!("{spec}services: [{{name: s, image: '@pkg:hello', env: ['A=@pkg:hello', '@x'], cwd: '@pkg:hello'}}]");
    let root = shop.initrd(&text);
    assert_eq!((root.content("at"), root.content("pkg")), (&b"@every 1h"[..], &b"q.io/hello:latest"[..]));
    let process = &root.json("containers/services/s/config.json")["process"];
    assert_eq!(process["env"], serde_json::json!(["A=@pkg:hello", "@x"]));
    assert_eq!(process["cwd"], "q.io/hello:latest");
    let said = shop.refused(&spec.replace("@pkg:hello", "@pkg:nowhere"), 3);
    assert!(said.contains("cannot resolve `@pkg:nowhere`: ") && said.contains("x.yml:4:25"), "{said}");
}

#[test]
fn d23_a_file_in_the_place_of_a_directory_with_entries_is_refused() {
    let mut shop = shop();
    shop.image("dirs", &["etc/d/x = 1\netc/empty/"]);
    let said = shop.refused("init: [q.io/dirs]\nfiles: [{path: etc/d, contents: x}]", 3);
    let message = "`etc/d` is a directory with entries, so no file can be there";
    assert!(said.contains(message) && said.contains("x.yml:2:16") && said.contains("hint: "), "{said}");
    let root =
        shop.initrd("init: [q.io/dirs]\nfiles: [{path: etc/empty, contents: x}, {path: etc/d, directory: true}]");
    assert_eq!(root.content("etc/empty"), b"x");
    assert!(root.has("etc/d/x"));
}

#[test]
fn d24_a_section_that_is_null_is_empty() {
    let shop = shop();
    let full = "kernel: ~\ninit: [q.io/a]\nonboot:\nonshutdown: ~\nservices: ~\nfiles:\nvolumes:\noutputs:\ntrust:\n";
    assert_eq!(shop.initrd(full).0.len(), shop.initrd("init: [q.io/a]").0.len());
    let said = crate::common::stderr(&shop.output("build --digest x.yml"));
    assert!(!said.contains("warning"), "{said}");
}
