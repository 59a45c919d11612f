//! LinuxKit packages: what they are called, and builders, of which a stand-in records what it is asked.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::system::assert_says;
use crate::common::registry::{DockerRegistry, Door};
use crate::common::{have, install_script, lkit, run, stderr, stdout};

/// A folder with a git work tree, a cache, and programs that come first.
struct Shop {
    dir: tempfile::TempDir,
}

const BUILD_YML: &str = "image: hello\norg: acme\narches: [amd64, arm64]\nnetwork: true\nconfig: {binds: ['/a:/a']}\n\
                         buildArgs: ['A=b c', 'OTHER=@lkt:pkg:../other']\n";

/// A stand-in for `buildctl`: writes down its arguments, and the OCI layout of `make.py` where it is told to.
const BUILDCTL: &str = "#!/bin/sh\nprintf '%s\\n' \"$@\" >> \"$RECORD\"\n[ -z \"$FAIL\" ] || { echo broken >&2; exit \"$FAIL\"; }\n\
                        exec python3 \"$MAKE\" \"$@\"\n";
const MAKE: &str = r#"
import hashlib, io, json, sys, tarfile
words = sys.argv[1:]
arch = next(w for w in words if w.startswith('platform=')).split('/')[1]
dest = words[-1].split('dest=')[1]
name = words[-1].split('name=')[1].split(',')[0]
blobs = {}
def blob(kind, data, **more):
    digest = hashlib.sha256(data).hexdigest()
    blobs['blobs/sha256/' + digest] = data
    return dict(mediaType=kind, digest='sha256:' + digest, size=len(data), **more)
layer = io.BytesIO()
with tarfile.open(fileobj=layer, mode='w') as tar:
    info = tarfile.TarInfo('arch'); info.size = len(arch)
    tar.addfile(info, io.BytesIO(arch.encode()))
layer = layer.getvalue()
oci = 'application/vnd.oci.image.'
config = blob(oci + 'config.v1+json', json.dumps(dict(architecture=arch, os='linux',
    rootfs=dict(type='layers', diff_ids=['sha256:' + hashlib.sha256(layer).hexdigest()]))).encode())
manifest = lambda config, layers: json.dumps(dict(schemaVersion=2, mediaType=oci + 'manifest.v1+json',
    config=config, layers=layers)).encode()
image = blob(oci + 'manifest.v1+json', manifest(config, [blob(oci + 'layer.v1.tar', layer)]),
    platform=dict(architecture=arch, os='linux'))
statement = blob('application/vnd.in-toto+json', b'{"of": "%s"}' % arch.encode())
unknown = dict(architecture='unknown', os='unknown')
about = blob(oci + 'manifest.v1+json', manifest(blob(oci + 'config.v1+json', json.dumps(unknown).encode()), [statement]),
    platform=unknown, annotations={'vnd.docker.reference.type': 'attestation-manifest',
                                   'vnd.docker.reference.digest': image['digest']})
index = blob(oci + 'index.v1+json', json.dumps(dict(schemaVersion=2, mediaType=oci + 'index.v1+json',
    manifests=[image, about])).encode(), annotations={'io.containerd.image.name': name})
blobs['oci-layout'] = b'{"imageLayoutVersion": "1.0.0"}'
blobs['index.json'] = json.dumps(dict(schemaVersion=2, manifests=[index])).encode()
with tarfile.open(dest, 'w') as tar:
    for path, data in blobs.items():
        info = tarfile.TarInfo(path); info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
"#;

impl Shop {
    fn new() -> Self {
        let shop = Self { dir: tempfile::tempdir().unwrap() };
        for dir in ["pkg/hello", "pkg/other", "bin"] {
            fs::create_dir_all(shop.dir.path().join(dir)).unwrap();
        }
        shop.write("pkg/hello/build.yml", BUILD_YML);
        shop.write("pkg/hello/Dockerfile", "FROM scratch\nCOPY build.yml /\n");
        shop.write("pkg/other/build.yml", "image: other\n");
        shop.write("make.py", MAKE);
        install_script(BUILDCTL, &shop.dir.path().join("bin/buildctl"));
        shop.git("init -q");
        shop.commit();
        shop
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.dir.path().join(path), text).unwrap();
    }

    fn git(&self, line: &str) -> String {
        let user = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"];
        let place = ["-C", self.dir.path().to_str().unwrap()];
        run("git", place.into_iter().chain(user).chain(line.split(' '))).trim().to_owned()
    }

    fn commit(&self) {
        self.git("add pkg");
        self.git("commit -qm one");
    }

    fn tree(&self) -> String {
        self.git("rev-parse HEAD:pkg/hello")
    }

    fn command(&self, line: &str) -> Command {
        let dir = self.dir.path();
        let mut command = lkit(&dir.join("cache"));
        let path = format!("{}:{}", dir.join("bin").display(), std::env::var("PATH").unwrap());
        command.current_dir(dir).env("PATH", path).env("RECORD", dir.join("record")).env("MAKE", dir.join("make.py"));
        command.env("BUILDKIT_HOST", "unix:///nowhere").env("HOME", dir).env_remove("LINUXKIT_PKG_ORG");
        command.stdin(Stdio::null()).args(line.split(' '));
        command
    }

    fn output(&self, line: &str) -> Output {
        self.command(line).output().unwrap()
    }

    fn good(&self, line: &str) -> String {
        stdout(line, &self.output(line))
    }

    fn bad(&self, line: &str, code: i32) -> String {
        let output = self.output(line);
        assert_eq!(output.status.code(), Some(code), "{line}: {}", stderr(&output));
        stderr(&output)
    }

    /// What the stand-in was asked, a word a line.
    fn record(&self) -> String {
        fs::read_to_string(self.dir.path().join("record")).unwrap_or_default()
    }

    /// The platforms of an image in the cache, and how many manifests its index lists.
    fn platforms(&self, name: &str) -> (Vec<String>, usize) {
        let listed: Value = serde_json::from_str(&self.good("cache ls --json")).unwrap();
        let found = listed["images"].as_array().unwrap().iter().find(|image| image["name"] == name).unwrap().clone();
        let texts =
            |list: &Value| list.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect();
        let digest = found["digest"].as_str().unwrap().replace(':', "/");
        let index = fs::read(self.dir.path().join("cache/blobs").join(digest)).unwrap();
        let index: Value = serde_json::from_slice(&index).unwrap();
        (texts(&found["platforms"]), index["manifests"].as_array().unwrap().len())
    }
}

#[test]
fn packages_are_called_by_their_trees() {
    let shop = Shop::new();
    let tree = shop.tree();
    let other = shop.git("rev-parse HEAD:pkg/other");
    assert_eq!(shop.good("pkg show-tag pkg/hello pkg/other"), format!("acme/hello:{tree}\nlinuxkit/other:{other}\n"));
    assert_eq!(shop.good("pkg show-tag --canonical pkg/hello"), format!("docker.io/acme/hello:{tree}\n"));
    let rows = [
        ("pkg --org me show-tag pkg/hello", format!("me/hello:{tree}\n")),
        ("pkg show-tag --hash abc pkg/hello", "acme/hello:abc\n".to_owned()),
        ("pkg show-tag --tag v1-{{.Hash}} --hash abc pkg/hello", "acme/hello:v1-abc\n".to_owned()),
    ];
    for (line, expected) in rows {
        assert_eq!(shop.good(line), expected, "{line}");
    }
    let developed = shop.command("pkg show-tag --dev pkg/hello").env("USER", "me").output().unwrap();
    assert_eq!(stdout("dev", &developed), "me/hello:dev\n");
    for (dir, missing) in [("pkg", "pkg/build.yml`"), ("gone", "`gone`")] {
        let told = shop.bad(&format!("pkg show-tag {dir}"), 1);
        let rest =
            "\n  cause: No such file or directory (os error 2)\n\nhint: name a directory that has a `build.yml`\n";
        assert!(told.starts_with("error: cannot read `") && told.ends_with(&format!("{missing}{rest}")), "{told}");
    }
}

#[test]
fn a_builder_is_asked_for_each_platform_and_one_index_is_kept() {
    let shop = Shop::new();
    let tree = shop.tree();
    let name = format!("docker.io/acme/hello:{tree}");
    shop.good("pkg build --force --platforms linux/arm64 pkg/hello");
    let commit = shop.git("rev-parse HEAD");
    let other = shop.git("rev-parse HEAD:pkg/other");
    let record = shop.record();
    let lines = [
        "--frontend\ndockerfile.v0\n".to_owned(),
        "--opt\nplatform=linux/arm64\n".to_owned(),
        "--opt\nforce-network-mode=sandbox\n".to_owned(),
        "--opt\nbuild-arg:A=b c\n".to_owned(),
        format!("--opt\nbuild-arg:OTHER=linuxkit/other:{other}\n"),
        format!("--opt\nbuild-arg:PKG_HASH={tree}\n"),
        format!("--opt\nlabel:org.opencontainers.image.revision={commit}\n"),
        "--opt\nlabel:org.mobyproject.config={\"binds\":[\"/a:/a\"]}\n".to_owned(),
        "--opt\nattest:sbom=\n".to_owned(),
    ];
    for line in lines {
        assert!(record.contains(&line), "{line}in {record}");
    }
    assert_eq!(shop.platforms(&name), (vec!["linux/arm64".to_owned()], 2));
    shop.good("pkg build --force --platforms linux/amd64 --disable-cache --nonetwork --sbom-scanner=false pkg/hello");
    let record = shop.record()[record.len()..].to_owned();
    assert!(record.contains("force-network-mode=none\n") && record.contains("--no-cache\n"), "{record}");
    assert!(!record.contains("attest:"), "{record}");
    assert_eq!(shop.platforms(&name), (vec!["linux/amd64".to_owned(), "linux/arm64".to_owned()], 4));
    // What is built again takes the place of what was there.
    shop.good("pkg build --force --platforms linux/amd64 pkg/hello");
    assert_eq!(shop.platforms(&name), (vec!["linux/amd64".to_owned(), "linux/arm64".to_owned()], 4));
    let before = shop.record();
    let said = stderr(&shop.output("pkg build pkg/hello"));
    assert_says(&said, &[&format!("`{name}` is in the cache for linux/amd64"), "is in the cache for linux/arm64"]);
    assert_eq!(shop.record(), before);
}

#[test]
fn a_builder_that_fails_says_so_itself_and_nothing_is_kept() {
    let shop = Shop::new();
    let failed = shop.command("pkg build --force pkg/hello").env("FAIL", "42").output().unwrap();
    assert_eq!(failed.status.code(), Some(42));
    assert_says(&stderr(&failed), &["broken\n", "error: `buildctl` failed to build", "exit status: 42"]);
    shop.write("make.py", "import sys; open(sys.argv[-1].split('dest=')[1], 'w').write('no tar')");
    shop.bad("pkg build --force pkg/hello", 1);
    assert_eq!(serde_json::from_str::<Value>(&shop.good("cache ls --json")).unwrap()["images"], json!([]));
    let missing = shop.command("pkg build --force pkg/hello").env("PATH", "/nowhere").output().unwrap();
    assert_says(&stderr(&missing), &["cannot run `git`"]);
}

#[test]
fn what_cannot_be_built_is_told_before_anything_is() {
    let shop = Shop::new();
    let rows = [
        ("pkg build --builder make pkg/hello", 2, "`make` is no builder"),
        ("pkg build --force --pull pkg/hello", 2, "cannot be used with"),
        ("pkg build --docker pkg/hello", 2, "lkit does not have `--docker`"),
        ("pkg build --release v1 pkg/hello", 2, "`--release` is for what is pushed"),
        ("pkg build --force --dockerfile ../x pkg/hello", 3, "`../x` is not in the directory of the package"),
        ("pkg build --force --hash-commit HEAD~0 pkg/hello", 2, "is built of the files of `HEAD`"),
        ("pkg build --force pkg/other", 3, "there is no Dockerfile"),
        ("pkg build --org 127.0.0.1:1/acme pkg/hello", 4, "cannot ask the registry for `127.0.0.1:1/acme/hello:"),
        ("pkg push --force --force-dirty pkg/hello", 2, "its directory differs from the last commit"),
    ];
    for (line, code, message) in rows {
        assert_says(&shop.bad(line, code), &[message]);
    }
    shop.write("pkg/hello/build.yml", &format!("{BUILD_YML}depends: {{docker-images: {{list: []}}}}\n"));
    assert_says(&shop.bad("pkg build --force pkg/hello", 3), &["has `depends`, which lkit does not do"]);
    shop.write("pkg/hello/build.yml", &format!("{BUILD_YML}bogus: 1\n"));
    assert_says(&shop.bad("pkg build --force pkg/hello", 3), &["build.yml` is not valid: "]);
    assert_eq!(shop.record(), "");
}

#[test]
fn a_dry_run_prints_the_commands_of_the_builder() {
    let shop = Shop::new();
    shop.write("pkg/hello/build.yml", &format!("{BUILD_YML}extra-sources: ['../other:/src']\n"));
    shop.commit();
    let docker = shop.good("pkg build --dry-run --builder docker --platforms linux/amd64 --progress plain pkg/hello");
    assert!(docker.starts_with("docker buildx build --platform linux/amd64 --file "), "{docker}");
    assert_says(
        &docker,
        &["/context/Dockerfile --network default --build-arg 'A=b c' ", "--attest type=sbom", " --progress plain "],
    );
    let buildah = shop.good("pkg build --dry-run --builder buildah --platforms linux/amd64 --disable-cache pkg/hello");
    assert!(buildah.starts_with("buildah build --platform linux/amd64 "), "{buildah}");
    assert_says(&buildah, &[" --no-cache ", " --tag oci-archive:"]);
}

#[test]
fn oracle_docker_registry_gets_an_index_of_all_platforms_and_a_release() {
    let shop = Shop::new();
    let Some(registry) = DockerRegistry::start(&shop.dir.path().join("registry"), Door::Open) else { return };
    let (host, tree) = (registry.host(), shop.tree());
    let push = format!("pkg push --org {host}/acme --mirror {host}=http://{host}");
    shop.good(&format!("{push} --platforms linux/arm64 pkg/hello"));
    shop.good("cache clean --all");
    shop.git("tag v1.0");
    let said = stderr(&shop.output(&format!("{push} pkg/hello")));
    assert_says(&said, &["is in its registry for linux/arm64", "for linux/amd64, linux/arm64", "released as `"]);
    let inspect = |tag: &str| {
        let raw =
            run("skopeo", ["inspect", "--raw", "--tls-verify=false", &format!("docker://{host}/acme/hello:{tag}")]);
        serde_json::from_str::<Value>(&raw).unwrap()
    };
    let arches = |index: &Value| -> Vec<String> {
        let all = index["manifests"].as_array().unwrap().iter();
        all.map(|one| one["platform"]["architecture"].as_str().unwrap().to_owned()).collect()
    };
    let index = inspect(&tree);
    assert_eq!(arches(&index), ["amd64", "unknown", "arm64", "unknown"]);
    assert_eq!(inspect("v1.0"), index);
    let before = shop.record();
    let said = stderr(&shop.output(&format!("{push} pkg/hello")));
    assert_says(&said, &["is in its registry already, and stays"]);
    assert_eq!(shop.record(), before);
    let manifest = format!("pkg manifest --org {host}/acme --mirror {host}=http://{host} pkg/hello");
    shop.good(&manifest);
    assert_eq!(inspect(&tree), index);
}

#[test]
fn oracle_buildah_builds_a_package() {
    if !have(&["buildah"]) {
        return;
    }
    let shop = Shop::new();
    let storage = shop.dir.path().join("storage");
    let mut command = shop.command("pkg build --force --builder buildah --platforms linux/amd64 pkg/hello");
    command.env("BUILDAH_ISOLATION", "chroot").env("STORAGE_DRIVER", "vfs");
    command.env("CONTAINERS_STORAGE_CONF", storage_conf(shop.dir.path(), &storage));
    stdout("buildah", &command.output().unwrap());
    let name = format!("docker.io/acme/hello:{}", shop.tree());
    assert_eq!(shop.platforms(&name), (vec!["linux/amd64".to_owned()], 1));
    shop.write("x.yml", &format!("init: [{name}]\n"));
    let built = shop.output("build --offline --arch amd64 -f tar -o - x.yml");
    stdout("build", &built);
    let root = crate::common::workshop::Root(crate::common::entries::of_tar(&built.stdout));
    assert_eq!(root.content("build.yml"), BUILD_YML.as_bytes());
}

/// Settings of buildah that keep its storage in a folder.
fn storage_conf(dir: &Path, storage: &Path) -> std::path::PathBuf {
    let path = dir.join("storage.conf");
    let text =
        format!("[storage]\ndriver = \"vfs\"\nrunroot = \"{0}/run\"\ngraphroot = \"{0}/graph\"\n", storage.display());
    fs::write(&path, text).unwrap();
    path
}
