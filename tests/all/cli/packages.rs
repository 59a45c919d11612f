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
pub const BUILDCTL: &str = "#!/bin/sh\nprintf '%s\\n' \"$@\" >> \"$RECORD\"\n[ \"$1\" = build ] || exit 0\n[ -z \"$FAIL\" ] || { echo broken >&2; exit \"$FAIL\"; }\n\
                        exec python3 \"$MAKE\" \"$@\"\n";
pub const MAKE: &str = r#"
import hashlib, io, json, sys, tarfile
words = sys.argv[1:]
arch = next(w for w in words if w.startswith(('platform=linux/', 'linux/'))).split('/')[1]
output = next(w for w in words if 'dest=' in w)
dest = output.split('dest=')[1]
name = output.split('name=')[1].split(',')[0]
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
        ("pkg push --manifest=false --release v1 pkg/hello", 2, "`--manifest=false` pushes none"),
        ("pkg build --builder buildah --builder-name x pkg/hello", 2, "`buildah` has no builders by name"),
        ("pkg build --builders arm64=x pkg/hello", 2, "`arm64=x` is no platform with a context of docker"),
        ("pkg build --builder-config none pkg/hello", 2, "there is no file `none`"),
        ("pkg build --force --registry-creds r=u: pkg/hello", 2, "--registry-creds: its user or its password is empty"),
        ("pkg build --precache-images --ignore-cached pkg/hello", 2, "cannot be used with"),
        ("pkg builder --builder buildah du", 3, "`buildah` does not tell what its builds keep"),
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
    shop.write("pkg/hello/build.yml", &format!("{BUILD_YML}depends: {{docker-images: {{target: t, list: [a]}}}}\n"));
    assert_says(&shop.bad("pkg build --force pkg/hello", 3), &["`a` of `depends` has no digest"]);
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
    shop.good(&format!("{push} --manifest=false --hash alone --platforms linux/arm64 pkg/hello"));
    let tags = run("skopeo", ["list-tags", "--tls-verify=false", &format!("docker://{host}/acme/hello")]);
    let tags: Value = serde_json::from_str(&tags).unwrap();
    let has = |tag: &str| tags["Tags"].as_array().unwrap().iter().any(|known| known == tag);
    assert_eq!((has("alone-arm64"), has("alone-amd64"), has("alone")), (true, false, false));
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

/// What the stand-in for `docker` does: writes down its words, takes an image, has no builders before they are made.
pub const DOCKER: &str = r#"#!/bin/sh
printf '%s ' "$@" >> "$RECORD"; echo >> "$RECORD"
case "$1 $2" in
"image load") cat > "$RECORD.$(grep -c '^image load' "$RECORD")" ;;
"buildx build") exec python3 "$MAKE" "$@" ;;
"buildx inspect") grep -q "^buildx create --name $3 " "$RECORD" && echo 'Driver Options: image="a:1"' ;;
"context inspect") [ "$3" = far ] ;;
esac
"#;

impl Shop {
    /// The same with a stand-in for `docker`, which comes first.
    fn with_docker() -> Self {
        let shop = Self::new();
        install_script(DOCKER, &shop.dir.path().join("bin/docker"));
        shop
    }

    /// Builds the package `hello` for a platform, under a tag; the digest of what the cache has then.
    fn base(&self, tag: &str) -> String {
        self.good(&format!("pkg build --force --hash {tag} --platforms linux/amd64 pkg/hello"));
        let listed: Value = serde_json::from_str(&self.good("cache ls --json")).unwrap();
        let name = format!("docker.io/acme/hello:{tag}");
        let found = listed["images"].as_array().unwrap().iter().find(|image| image["name"] == *name).unwrap();
        found["digest"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_package_is_built_on_images_that_only_the_cache_has() {
    let shop = Shop::new();
    let digest = shop.base("base");
    shop.write(
        "pkg/other/Dockerfile",
        "ARG TAG=none\nFROM docker.io/acme/hello:$TAG AS one\nFROM acme/missing:1\nFROM one\nFROM scratch\n",
    );
    shop.write("args", "TAG=base\n");
    shop.commit();
    let build = "pkg build --force --platforms linux/amd64 --build-arg-file args";
    let before = shop.record().len();
    shop.good(&format!("{build} pkg/other"));
    let record = shop.record()[before..].to_owned();
    let cache = shop.dir.path().join("cache");
    let expected = format!(
        "--oci-layout\nlinuxkit-cache={}\n--opt\ncontext:acme/hello:base=oci-layout://linuxkit-cache@{digest}\n--output\n",
        cache.display()
    );
    assert!(record.contains(&expected) && !record.contains("missing"), "{expected} in {record}");
    let docker = shop.good(&format!("{build} --dry-run --builder docker pkg/other"));
    let context = format!(" --build-context acme/hello:base=oci-layout://{}@{digest} ", cache.display());
    assert_says(&docker, &[&context]);
    let buildah = shop.good(&format!("{build} --dry-run --builder buildah pkg/other"));
    assert_says(&buildah, &[" --build-context docker.io/acme/hello:base=container-image://oci-archive:"]);
    let before = shop.record().len();
    shop.good(&format!("{build} --ignore-cached pkg/other"));
    assert!(!shop.record()[before..].contains("oci-layout"));
    // For another platform the cache has nothing.
    let other =
        shop.good("pkg build --dry-run --builder docker --platforms linux/arm64 --build-arg-file args pkg/other");
    assert!(!other.contains("oci-layout"), "{other}");
}

#[test]
fn images_that_a_package_depends_on_are_archives_where_it_is_built() {
    let shop = Shop::new();
    let digest = shop.base("base");
    let script = "#!/bin/sh\nfor word; do case $word in context=*) context=${word#context=} ;; esac; done\n\
                  (cd \"$context\" && find images -type f && cat images/*.tar | tar xOf - manifest.json) > \"$RECORD\"\n\
                  exec python3 \"$MAKE\" \"$@\"\n";
    install_script(script, &shop.dir.path().join("bin/buildctl"));
    let depends = "depends:\n  docker-images:\n    target-dir: images\n    from-file: list\n";
    shop.write("pkg/other/build.yml", &format!("image: other\n{depends}"));
    shop.write("pkg/other/Dockerfile", "FROM scratch\nCOPY images /images\n");
    shop.write("pkg/other/list", &format!("# of the cache\n\nacme/hello:base@{digest}\n"));
    shop.commit();
    shop.good("pkg build --force --platforms linux/amd64 pkg/other");
    let record = shop.record();
    let (names, manifest) = record.split_once('\n').unwrap();
    assert_eq!(names, format!("images/hello@{digest}.tar"));
    let manifest: Value = serde_json::from_str(manifest).unwrap();
    assert_eq!(manifest[0]["RepoTags"], json!(["docker.io/acme/hello:base"]));
    // The directory of the package stays as it is.
    assert_eq!(shop.git("status --porcelain pkg"), "");
    shop.write("pkg/other/list", &format!("q.io/none@sha256:{}\n", "0".repeat(64)));
    let said = shop.bad("pkg build --force --mirror q.io=http://127.0.0.1:1 --platforms linux/amd64 pkg/other", 4);
    assert_says(&said, &["q.io/none@sha256:0000"]);
}

#[test]
fn what_is_built_is_handed_to_docker_under_the_names_of_linuxkit() {
    let shop = Shop::with_docker();
    shop.good("pkg build --force --docker --builder buildctl --hash h pkg/hello");
    let host = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let calls: Vec<String> =
        shop.record().lines().filter(|line| line.starts_with("image ")).map(|line| line.trim().to_owned()).collect();
    let name = "docker.io/acme/hello:h";
    assert_eq!(calls, ["image load", "image load", &format!("image tag {name}-{host} {name}")]);
    for (at, arch) in ["amd64", "arm64"].iter().enumerate() {
        let path = shop.dir.path().join(format!("record.{}", at + 1));
        let manifest = run("tar", ["xOf", path.to_str().unwrap(), "manifest.json"]);
        let manifest: Value = serde_json::from_str(&manifest).unwrap();
        assert_eq!(manifest[0]["RepoTags"], json!([format!("{name}-{arch}")]));
    }
    install_script("#!/bin/sh\nexit 7\n", &shop.dir.path().join("bin/docker"));
    let said = shop.bad("pkg build --docker --builder buildctl --hash h pkg/hello", 1);
    assert_says(&said, &["`docker image load` failed: exit status: 7"]);
}

#[test]
fn builders_of_docker_are_made_as_they_are_asked_for() {
    let shop = Shop::with_docker();
    shop.write("b.toml", "");
    let calls = |line: &str| -> Vec<String> {
        let before = shop.record().len();
        shop.good(line);
        let words = |line: &str| {
            let words: Vec<&str> =
                line.split(' ').take(if line.starts_with("buildx build") { 4 } else { 99 }).collect();
            words.join(" ").trim().to_owned()
        };
        shop.record()[before..].lines().map(words).collect()
    };
    let build = "pkg build --force --platforms linux/amd64 --hash h pkg/hello";
    let create = "buildx create --name b --driver docker-container --driver-opt";
    let rows: [(String, &[&str]); 6] = [
        (
            format!("{build} --builder-name b --builder-image a:1"),
            &["buildx inspect b", &format!("{create} image=a:1"), "buildx build --builder b"],
        ),
        (format!("{build} --builder-name b --builder-image a:1"), &["buildx inspect b", "buildx build --builder b"]),
        (
            format!("{build} --builder-name b --builder-image a:2"),
            &["buildx inspect b", "buildx rm b", &format!("{create} image=a:2"), "buildx build --builder b"],
        ),
        (
            format!("{build} --builder-name b --builder-restart --builder-config b.toml"),
            &[
                "buildx inspect b",
                "buildx rm --keep-state b",
                "buildx create --name b --driver docker-container --buildkitd-config b.toml",
                "buildx build --builder b",
            ],
        ),
        (
            format!("{build} --builders linux/amd64=far"),
            &[
                "context inspect far",
                "buildx inspect linuxkit-builder-far",
                "buildx create --name linuxkit-builder-far --driver docker-container far",
                "buildx build --builder linuxkit-builder-far",
            ],
        ),
        ("pkg builder --builder-name b prune".to_owned(), &["buildx prune --force --builder b"]),
    ];
    for (line, expected) in rows {
        assert_eq!(calls(&line), expected, "{line}");
    }
    assert_eq!(calls("pkg builder --builder docker du"), ["buildx du"]);
    assert_eq!(calls("-v pkg builder --builder docker du"), ["buildx du --verbose"]);
    assert_says(&shop.bad(&format!("{build} --builders linux/amd64=near"), 3), &["docker has no context `near`"]);
}

#[test]
fn passwords_reach_the_builder_and_nobody_else() {
    let shop = Shop::new();
    let script = "#!/bin/sh\ncat \"$DOCKER_CONFIG/config.json\" > \"$RECORD\"; echo \"$DOCKER_CONFIG\" > \"$RECORD.dir\"\n\
                  printf '%s ' \"$@\" | grep -q secret && exit 9\nexec python3 \"$MAKE\" \"$@\"\n";
    install_script(script, &shop.dir.path().join("bin/buildctl"));
    shop.good("pkg build --force --platforms linux/amd64 --registry-creds https://r.io/=u:secret pkg/hello");
    let told: Value = serde_json::from_str(&shop.record()).unwrap();
    assert_eq!(told, json!({"auths": {"r.io": {"auth": "dTpzZWNyZXQ="}}}));
    let dir = fs::read_to_string(shop.dir.path().join("record.dir")).unwrap();
    assert!(!Path::new(dir.trim()).exists(), "the passwords stay in {dir}");
}

#[test]
fn oracle_buildah_builds_on_an_image_of_the_cache() {
    if !have(&["buildah"]) {
        return;
    }
    let shop = Shop::new();
    shop.base("base");
    shop.write("pkg/other/Dockerfile", "FROM acme/hello:base\nCOPY build.yml /other.yml\n");
    shop.commit();
    let mut command = shop.command("pkg build --force --builder buildah --platforms linux/amd64 --hash h pkg/other");
    command.env("BUILDAH_ISOLATION", "chroot").env("STORAGE_DRIVER", "vfs");
    command.env("CONTAINERS_STORAGE_CONF", storage_conf(shop.dir.path(), &shop.dir.path().join("storage")));
    stdout("buildah", &command.output().unwrap());
    shop.write("x.yml", "init: ['linuxkit/other:h']\n");
    let built = shop.output("build --offline --arch amd64 -f tar -o - x.yml");
    stdout("build", &built);
    let root = crate::common::workshop::Root(crate::common::entries::of_tar(&built.stdout));
    assert_eq!((root.content("arch"), root.content("other.yml")), (&b"amd64"[..], &b"image: other\n"[..]));
}

#[test]
fn oracle_docker_registry_gives_an_image_another_name_here_and_there() {
    let shop = Shop::new();
    let Some(registry) = DockerRegistry::start(&shop.dir.path().join("registry"), Door::Open) else { return };
    let host = registry.host();
    let mirror = format!("--mirror {host}=http://{host}");
    shop.good(&format!("pkg push --org {host}/acme {mirror} --hash one pkg/hello"));
    shop.good("cache clean --all");
    let raw =
        |name: &str| run("skopeo", ["inspect", "--raw", "--tls-verify=false", &format!("docker://{host}/{name}")]);
    let tag = |to: &str| {
        let line = format!("pkg remote-tag {mirror} {host}/acme/hello:one {host}/{to}");
        stderr(&shop.output(&line))
    };
    for to in ["acme/hello:two", "else/where:three"] {
        assert_eq!(tag(to), format!("`{host}/{to}` is now `{host}/acme/hello:one`\n"));
        assert_eq!(raw(to), raw("acme/hello:one"));
        assert_eq!(tag(to), format!("`{host}/{to}` is already `{host}/acme/hello:one`\n"));
    }
    assert_says(
        &shop.bad(&format!("pkg remote-tag {mirror} {host}/acme/hello:none {host}/acme/hello:x"), 4),
        &["acme/hello:none"],
    );
}
