//! The program under the name `linuxkit`: command lines in the shape that public Makefiles and CI scripts have.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output};

use super::packages::{BUILDCTL, DOCKER, MAKE};
use super::system::{SPEC, System, assert_says, refused};
use crate::common::registry::{DockerRegistry, Door};
use crate::common::{install_script, stderr, stdout};

/// A system with the program linked as `linuxkit`, and linuxkit's cache in the home of the user.
struct Linked {
    system: System,
    mirror: Option<String>,
}

impl Linked {
    fn new() -> Self {
        let system = System::new();
        for dir in ["bin", "home", "build"] {
            fs::create_dir(system.path(dir)).unwrap();
        }
        symlink(env!("CARGO_BIN_EXE_lkit"), system.path("bin/linuxkit")).unwrap();
        system.write("b.yml", "files:\n  - path: etc/more\n    contents: more\n");
        let linked = Self { system, mirror: None };
        linked.good("linuxkit cache import layout");
        linked
    }

    /// A shell that runs a line of a script.
    fn command(&self, line: &str) -> Command {
        let path = std::env::join_paths(
            [self.system.path("bin")].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
        );
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", line]).current_dir(self.system.dir.path());
        shell.env("PATH", path.unwrap()).env("HOME", self.system.path("home")).env("LINUXKIT_QEMU_ACCEL", "tcg");
        shell.env("ARCH", std::env::consts::ARCH).env("MIRROR", self.mirror.as_deref().unwrap_or_default());
        shell.env("REGISTRY", self.mirror.as_deref().unwrap_or_default().trim_start_matches("http://"));
        shell.env("PORT", free_port().to_string()).env("RECORD", self.path("record")).env("MAKE", self.path("make.py"));
        shell.env("GOARCH", if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" });
        shell.env("BUILDKIT_HOST", "unix:///nowhere");
        for variable in
            ["LKIT_CACHE", "LINUXKIT_CACHE", "LINUXKIT_MIRROR", "LINUXKIT_CONFIG", "XDG_CACHE_HOME", "DOCKER_HOST"]
        {
            shell.env_remove(variable);
        }
        shell
    }

    fn output(&self, line: &str) -> Output {
        self.command(line).output().unwrap()
    }

    /// Runs a line that is to succeed; its standard output.
    fn good(&self, line: &str) -> String {
        stdout(line, &self.output(line))
    }

    /// Runs a line that is to end with `code`; what it says.
    fn bad(&self, line: &str, code: i32) -> String {
        refused(line, &self.output(line), code)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.system.path(name)
    }
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// What comes of a line.
#[derive(Clone, Copy, PartialEq)]
enum Comes {
    /// It runs as it stands.
    Runs,
    /// One sentence says that it is not done, and what to do.
    Says,
}
use Comes::{Runs, Says};

/// Lines of scripts, in the order in which they are run.
const LINES: &[(Comes, &str)] = &[
    (Runs, "linuxkit version"),
    (Runs, "linuxkit version --short"),
    (Runs, "linuxkit version -short"),
    (Runs, "linuxkit help > /dev/null"),
    (Runs, "linuxkit build --help > /dev/null"),
    (Runs, "linuxkit build a.yml"),
    (Runs, "linuxkit build -format kernel+initrd a.yml"),
    (Runs, "linuxkit build --format kernel+initrd --name out a.yml"),
    (Runs, "linuxkit build -format iso-bios -name demo a.yml"),
    (Runs, "linuxkit build --format iso-efi a.yml"),
    (Runs, "linuxkit build --format iso-efi-initrd a.yml"),
    (Runs, "linuxkit build -format raw-bios,qcow2-bios a.yml"),
    (Runs, "linuxkit build -format raw-efi -format iso-efi -dir build a.yml"),
    (Runs, "linuxkit build -format qcow2-efi a.yml"),
    (Runs, "linuxkit build --dir build --name node a.yml"),
    (Runs, "linuxkit build -dir=build -name=node -format=tar a.yml"),
    (Runs, "linuxkit build -name build/worker a.yml"),
    (Runs, "linuxkit build -o - a.yml > root.tar"),
    (Runs, "linuxkit build --o root2.tar a.yml"),
    (Runs, "linuxkit build -output root3.tar a.yml"),
    (Runs, "linuxkit build -format tar -name merged a.yml b.yml"),
    (Runs, "linuxkit build -format docker a.yml"),
    (Runs, "linuxkit build -format tar-kernel-initrd a.yml"),
    (Runs, "linuxkit build -format kernel+squashfs -name sq a.yml"),
    (Runs, "linuxkit build -format kernel+iso -name ki a.yml"),
    (Runs, "linuxkit build -format kernel+erofs -name er a.yml"),
    (Runs, "linuxkit build -format tar -o - a.yml | tar x -C build etc/motd"),
    (Runs, "linuxkit build -q --format tar --name q a.yml"),
    (Runs, "linuxkit build -format vmdk a.yml"),
    (Runs, "linuxkit build -format vhd a.yml"),
    (Runs, "linuxkit build -format dynamic-vhd -name dynamic a.yml"),
    (Says, "linuxkit build -format rpi3 a.yml"),
    (Runs, "cat a.yml | linuxkit build -"),
    (Runs, "sed 's/ttyS0/ttyS1/' a.yml | linuxkit build -format tar -name piped -"),
    (Runs, "linuxkit build -disable-content-trust a.yml"),
    (Runs, "linuxkit build --disable-content-trust --format=tar a.yml"),
    (Runs, "linuxkit build --docker --format tar -o - a.yml | tar t > /dev/null"),
    (Runs, "linuxkit build -docker a.yml"),
    (Runs, "linuxkit -v build a.yml"),
    (Runs, "linuxkit -v 2 build a.yml"),
    (Runs, "linuxkit --verbose 2 build --no-sbom a.yml"),
    (Runs, "linuxkit build -v 3 --format tar a.yml"),
    (Runs, "linuxkit -q build a.yml"),
    (Runs, "linuxkit build --arch $ARCH --format kernel+initrd a.yml"),
    (Runs, "linuxkit build -arch $ARCH --no-sbom --format tar --o /dev/null a.yml"),
    (Runs, "linuxkit build -size 1G -format qcow2-bios a.yml"),
    (Runs, "linuxkit build --size 200M --format raw-bios a.yml"),
    (Runs, "linuxkit --cache \"$HOME/.linuxkit/cache\" build a.yml"),
    (Runs, "LINUXKIT_CACHE=$HOME/.linuxkit/cache linuxkit build a.yml"),
    (Runs, "linuxkit build --pull --mirror $MIRROR a.yml"),
    (Runs, "LINUXKIT_MIRROR=docker.io=$MIRROR linuxkit build -pull a.yml"),
    (Runs, "linuxkit --mirror docker.io=$MIRROR build --pull a.yml"),
    (Runs, "linuxkit build -name node -format kernel+initrd -dir build a.yml b.yml"),
    (Runs, "linuxkit build --format=iso-bios,iso-efi --dir=build a.yml"),
    (Runs, "linuxkit -verbose=2 build a.yml"),
    (Runs, "linuxkit build -arch=$ARCH -format=qcow2-efi -name=vm a.yml"),
    (Runs, "for f in kernel+initrd iso-efi; do linuxkit build -format $f -name loop a.yml; done"),
    (Runs, "linuxkit build --no-sbom --o root4.tar --docker a.yml"),
    (Runs, "linuxkit build \"$PWD/a.yml\""),
    (Runs, "linuxkit build -dir \"$PWD/build\" -format tar \"$PWD/a.yml\""),
    (Runs, "linuxkit build -format tar -o all.tar a.yml && tar tf all.tar > /dev/null"),
    (Runs, "linuxkit build -no-sbom=true -pull=false -format iso-efi -name e a.yml"),
    (Runs, "linuxkit build --name web --format raw-efi,iso-bios -- a.yml"),
    (Runs, "linuxkit -q build --dir build --name quiet --format kernel+squashfs a.yml"),
    (Runs, "linuxkit build --dry-run a.yml b.yml > full.yml"),
    (Runs, "linuxkit build --input-tar root.tar -o new.tar a.yml"),
    (Runs, "linuxkit build --sbom-output etc/sbom.json -format tar a.yml"),
    (Runs, "linuxkit build --sbom-current-time a.yml"),
    (Runs, "linuxkit run --dry-run a"),
    (Runs, "linuxkit run qemu --dry-run a"),
    (Runs, "linuxkit run -mem 2048 -cpus 2 --dry-run a"),
    (Runs, "linuxkit run qemu --mem 4096 -publish 8080:80/tcp -publish 2222:22 --dry-run a"),
    (Runs, "linuxkit run qemu -mem 1024 -cpus 4 -publish 127.0.0.1:8443:443 --dry-run a"),
    (Runs, "linuxkit run qemu --iso --mem 2048 --disk disk2.img,size=1G --dry-run demo.iso"),
    (Runs, "linuxkit run --cpus=2 --mem=512 --dry-run build/node"),
    (Runs, "linuxkit run qemu -fw OVMF.fd -uefi --dry-run build/a-efi.img"),
    (Runs, "linuxkit run qemu -iso --dry-run demo.iso"),
    (Runs, "linuxkit run qemu --iso --uefi --dry-run a-efi.iso"),
    (Runs, "linuxkit run qemu -uefi --dry-run build/a-efi.img"),
    (Runs, "linuxkit run qemu -kernel --dry-run a"),
    (Runs, "linuxkit run qemu --squashfs --dry-run sq"),
    (Runs, "linuxkit run qemu -disk file=disk.qcow2,size=512M,format=qcow2 --dry-run a"),
    (Runs, "linuxkit run qemu -networking none -state state --dry-run a"),
    (Runs, "linuxkit run qemu -networking default -accel kvm:tcg -arch x86_64 --dry-run a"),
    (Runs, "linuxkit run hyperkit --mem 1024 --dry-run a"),
    (Runs, "linuxkit run -disk size=1G --dry-run a"),
    (Runs, "linuxkit run qemu -networking tap,tap0 --dry-run a"),
    (Runs, "linuxkit run qemu -networking bridge,br0 --dry-run a"),
    (Runs, "linuxkit run hyperkit -networking vmnet --dry-run a"),
    (Runs, "linuxkit run qemu -data '{}' --dry-run a"),
    (Runs, "linuxkit run -data-file b.yml --dry-run a"),
    (Runs, "linuxkit run qemu -gui --dry-run a"),
    (Says, "linuxkit run vbox -networking bridged,bridgeadapter=en0 a.iso"),
    (Says, "linuxkit run gcp -project p -zone europe-west1-d a"),
    (
        Runs,
        "AWS_REGION=x AWS_ACCESS_KEY_ID=i AWS_SECRET_ACCESS_KEY=s linuxkit push aws -bucket bkt -timeout 1200 -img-name demo --dry-run a.yml",
    ),
    (
        Runs,
        "linuxkit push gcp -project p -bucket bkt -img-name n -family f -public -nested-virt -uefi-compatible --dry-run a.yml",
    ),
    (Runs, "CLOUDSDK_IMAGE_BUCKET=bkt CLOUDSDK_CORE_PROJECT=p linuxkit push gcp -timeout 600 --dry-run a.yml"),
    (
        Runs,
        "AZURE_SUBSCRIPTION_ID=0 AZURE_TENANT_ID=t AZURE_CLIENT_ID=c AZURE_CLIENT_SECRET=s linuxkit push azure -resource-group g -storage-account acct --dry-run a.yml",
    ),
    (
        Runs,
        "OS_AUTH_URL=http://127.0.0.1:1 OS_USERNAME=u OS_PASSWORD=p linuxkit push openstack -img-name n --dry-run a.yml",
    ),
    (Says, "linuxkit push vcenter -datastore d a.iso"),
    (
        Runs,
        "linuxkit serve -directory build -port :$PORT & curl -fsS --retry 99 --retry-delay 1 --retry-connrefused http://localhost:$PORT/node-kernel > /dev/null; kill $!",
    ),
    (Runs, "linuxkit metadata create m.iso '{}'"),
    (Runs, "linuxkit pkg show-tag package"),
    (Runs, "linuxkit pkg show-tag -canonical -org o package"),
    (Runs, "linuxkit pkg build -org o --platforms linux/amd64 --builder buildah --dry-run package"),
    (Runs, "linuxkit pkg push --builder buildah --dry-run package"),
    (Runs, "linuxkit pkg --org local show-tag package"),
    (Runs, "linuxkit pkg show-tag --hash-commit HEAD --hash-path . package"),
    (Runs, "linuxkit pkg show-tag --canonical --hash $(git rev-parse HEAD) package"),
    (Runs, "TAG=$(linuxkit pkg show-tag package) && test -n \"$TAG\""),
    (Runs, "linuxkit pkg build --org $REGISTRY/o --platforms linux/$GOARCH package"),
    (Runs, "linuxkit pkg build --pull --org $REGISTRY/o --platforms linux/$GOARCH package"),
    (
        Runs,
        "cd build && linuxkit cache export --platform linux/$GOARCH --format filesystem --outfile - $(linuxkit pkg --org $REGISTRY/o show-tag ../package) | tar xf - arch",
    ),
    (Runs, "linuxkit -v 2 pkg build --org $REGISTRY/o --disable-content-trust --disable-cache --force package"),
    (Runs, "env DOCKER_BUILDKIT=1 linuxkit pkg build -org $REGISTRY/o -network -force package"),
    (Runs, "linuxkit pkg build -docker -org $REGISTRY/o -network -hash latest package"),
    (
        Runs,
        "linuxkit pkg build --hash-path . --hash 1.0-kvm --docker --org $REGISTRY/o --platforms linux/$GOARCH package",
    ),
    (
        Runs,
        "touch buildkitd.toml && linuxkit pkg build --builder-config buildkitd.toml --force --org $REGISTRY/o package",
    ),
    (
        Runs,
        "linuxkit pkg build --skip-platforms linux/riscv64,linux/arm64 --sbom-scanner=false --progress plain --force package",
    ),
    (Runs, "linuxkit pkg push -org $REGISTRY/o -disable-content-trust package"),
    (Runs, "linuxkit pkg build --push --org $REGISTRY/o --build-yml build.yml --release v1 package"),
    (Runs, "linuxkit pkg push --manifest=false --hash alone --org $REGISTRY/o package"),
    (Runs, "linuxkit pkg manifest --org $REGISTRY/o package"),
    (Runs, "linuxkit pkg index --org $REGISTRY/o --release v2 package"),
    (Runs, "linuxkit pkg remote-tag $REGISTRY/o/hello:v1 $REGISTRY/o/hello:v3"),
    (Runs, "linuxkit pkg builder du && linuxkit pkg builder prune"),
    (Runs, "linuxkit build -docker -arch $GOARCH -format tar-kernel-initrd -name hook -dir build a.yml"),
    (Runs, "linuxkit build -format raw-bios -disable-content-trust -dir build a.yml"),
    (Runs, "linuxkit build --format kernel+initrd --no-sbom --name ramdisk ./a.yml"),
    (
        Runs,
        "linuxkit run -publish 2222:22 -mem 2048 -cpus 2 -disk size=8 -state state -data-file b.yml --dry-run a > /dev/null",
    ),
    (Runs, "linuxkit run -data-file b.yml -disk size=1024M -mem 2048 --dry-run a > /dev/null"),
    (Runs, "RESULT=\"$(linuxkit run --dry-run --mem 3072 a)\" && echo \"$RESULT\" | grep -q a-kernel"),
    (Runs, "linuxkit run qemu --dry-run -kernel a | grep -q a-kernel"),
    (Says, "linuxkit run hyperkit -networking=vpnkit -vsock-ports 2376 -data-file b.yml -mem 4096 a"),
    (Runs, "linuxkit cache export --arch $GOARCH --format docker --outfile k.tar test/init:1"),
    (Runs, "linuxkit cache ls 2>&1 | grep test/init > /dev/null"),
    (Runs, "linuxkit cache ls"),
    (Runs, "linuxkit cache ls > images.txt"),
    (Runs, "linuxkit cache export -format filesystem -outfile fs.tar test/init:1"),
    (Runs, "linuxkit cache export --format docker --outfile init.tar --name x/init:1 test/init:1"),
    (Runs, "linuxkit cache export -format oci -outfile - test/init:1 > oci.tar"),
    (Runs, "linuxkit cache import oci.tar"),
    (Runs, "cat oci.tar | linuxkit cache import -"),
    (Runs, "LINUXKIT_MIRROR=$MIRROR linuxkit cache pull test/init:1"),
    (Runs, "linuxkit cache push --remote-name $REGISTRY/x/init:1 test/init:1"),
    (Runs, "linuxkit cache rm test/init:1"),
    (Runs, "linuxkit cache clean"),
];

#[test]
fn s1_nearly_all_lines_of_scripts_run_unchanged_and_the_rest_says_one_sentence() {
    let mut linked = Linked::new();
    let Some(registry) = DockerRegistry::start(&linked.path("registry"), Door::Open) else { return };
    for image in ["kernel", "init"] {
        let name = format!("test/{image}:1");
        registry.push(&linked.system.layout.dir, &format!("docker.io/{name}"), &name);
    }
    linked.mirror = Some(format!("http://{}", registry.host()));
    linked.good("mkdir package && printf 'image: hello\\norg: o\\n' > package/build.yml && echo FROM scratch > package/Dockerfile");
    linked.good("git init -q && git add package && git -c user.name=x -c user.email=x@y commit -qm one");
    for (script, name) in [(BUILDCTL, "buildctl"), (DOCKER, "docker")] {
        install_script(script, &linked.path("bin").join(name));
    }
    linked.system.write("make.py", MAKE);
    for (comes, line) in LINES {
        let output = linked.output(line);
        let said = stderr(&output);
        let runs = output.status.success();
        assert!(runs || *comes != Runs, "{line}: {}\n{said}", output.status);
        assert!(!runs || *comes != Says, "{line} ran");
        if !runs {
            let errors = said.lines().filter(|text| text.starts_with("error: ")).count();
            assert!(errors == 1 && !said.contains("panicked"), "{line}: {said}");
            assert!(said.contains("\nhint: "), "{line} says nothing to do: {said}");
        }
    }
    let count = |wanted: Comes| LINES.iter().filter(|(comes, _)| *comes == wanted).count();
    assert!(LINES.len() >= 140 && count(Runs) * 100 >= 95 * LINES.len(), "{} of {}", count(Runs), LINES.len());
}

#[test]
fn files_have_linuxkits_names_and_the_initrd_is_gzip() {
    let linked = Linked::new();
    linked.good("linuxkit build -format kernel+initrd -format iso-efi -dir build a.yml");
    let mut names: Vec<_> =
        fs::read_dir(linked.path("build")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["a-cmdline", "a-efi.iso", "a-initrd.img", "a-kernel"]);
    linked.good("gzip -dc build/a-initrd.img > plain");
    linked.good("linuxkit cache ls | grep -q test/init");
    let plain = linked.good("linuxkit build --digest -format tar a.yml");
    assert!(plain.ends_with("  a.tar\n"));
    let archive = fs::read(linked.path("plain")).unwrap();
    assert!(archive.starts_with(b"070701"), "an archive of newc");
    linked.good("cat a.yml | linuxkit build -dir build -");
    assert!(linked.path("build/moby-initrd.img").is_file() && !linked.path("build/a.tar").exists());
    linked.good("linuxkit build --compress zstd:1 --name z a.yml");
    assert!(fs::read(linked.path("z-initrd.img")).unwrap().starts_with(b"\x28\xb5\x2f\xfd"));
}

#[test]
fn the_cache_is_linuxkits_own_in_the_home_of_the_user() {
    let linked = Linked::new();
    let cache = linked.path("home/.linuxkit/cache");
    assert!(cache.join("index.json").is_file() && cache.join("oci-layout").is_file());
    // linuxkit's own lock beside the layout is no reason to refuse it.
    fs::write(cache.join(".lock"), "").unwrap();
    linked.good("linuxkit build -o - a.yml > x.tar");
    linked.good("mv home/.linuxkit/cache own && LINUXKIT_CACHE=own linuxkit build -o y.tar a.yml");
    linked.good("cmp x.tar y.tar && lkit=bin/linuxkit && $lkit build --cache own -o - a.yml | cmp - x.tar");
    assert!(!cache.exists());
    linked.good("linuxkit --cache own cache clean");
    assert!(!linked.good("linuxkit cache ls --cache own").contains("test/init"));
}

#[test]
fn what_has_no_effect_is_named_and_what_is_unknown_refused() {
    let linked = Linked::new();
    let said = stderr(
        &linked.output("LINUXKIT_CONFIG=x linuxkit build -disable-content-trust -input-tar x -format tar a.yml"),
    );
    for part in
        ["`-disable-content-trust` has no effect", "`LINUXKIT_CONFIG` has no effect", "`--input-tar` has no effect"]
    {
        assert_eq!(said.matches(part).count(), 1, "{part} in {said}");
    }
    let said = stderr(&linked.output("linuxkit -v 0 build -disable-content-trust -format tar a.yml"));
    assert_eq!(said, "");
    assert_says(
        &linked.bad("linuxkit build -formatt tar a.yml", 2),
        &["`-formatt` is no option", "did you mean `--format`?"],
    );
    assert_says(&linked.bad("linuxkit image ls", 2), &["`linuxkit image` is no command of linuxkit or lkit"]);
    assert_says(&linked.good("linuxkit help build"), &["--disable-content-trust  (has no effect", "--artifact-mode"]);
}

#[test]
fn lkit_takes_linuxkits_lines_behind_the_word_and_gives_the_hint_without_it() {
    let linked = Linked::new();
    symlink(env!("CARGO_BIN_EXE_lkit"), linked.path("bin/lkit")).unwrap();
    linked.good("lkit linuxkit build -format tar -name t a.yml");
    assert!(linked.path("t.tar").is_file());
    let said = linked.bad("lkit build -format tar a.yml", 2);
    assert_says(&said, &["hint: write `--format`, or call `lkit linuxkit build …`, which takes linuxkit's flags"]);
    let said = linked.bad("lkit build --disable-content-trust a.yml", 2);
    assert_says(
        &said,
        &["`--disable-content-trust` is linuxkit's and not lkit's", "hint: call `lkit linuxkit build …`"],
    );
}

/// A script that makes root file systems as EVE's does: the spec comes over standard input, the tar goes to standard
/// output, and is unpacked and packed again by other tools.
const MAKE_ROOT: &str = r#"
set -euo pipefail
: "${LINUXKIT:=linuxkit}"
[ $# -ge 2 ] || { echo "usage: $0 mode spec" >&2; exit 1; }
mode=$1 spec=$2
case $mode in
tar) "$LINUXKIT" -v 2 build --docker --no-sbom --o - - < "$spec" > root.tar ;;
squash) "$LINUXKIT" build --docker --no-sbom --format kernel+squashfs --name root --dir . "$spec" ;;
esac
"#;

/// A Makefile with the rules that specs are built by.
const MAKEFILE: &str = "LINUXKIT ?= linuxkit
FORMATS ?= kernel+initrd iso-bios
all: $(FORMATS:%=out/%.done)
out/%.done: a.yml | out
\t$(LINUXKIT) build -format $* -dir out -name node $<
\ttouch $@
out:
\tmkdir -p $@
clean:
\trm -rf out
\t$(LINUXKIT) cache clean
";

#[test]
fn a_script_that_makes_root_file_systems_runs_with_its_variable_changed() {
    let linked = Linked::new();
    fs::write(linked.path("makeroot.sh"), MAKE_ROOT).unwrap();
    fs::rename(linked.path("bin/linuxkit"), linked.path("bin/lkit")).unwrap();
    symlink("lkit", linked.path("bin/linuxkit")).unwrap();
    linked.good("LINUXKIT=$PWD/bin/linuxkit bash makeroot.sh tar a.yml");
    let names = linked.good("tar tf root.tar");
    assert_says(&names, &["boot/kernel\n", "boot/cmdline\n", "etc/motd\n", "bin/sh\n"]);
    let motd = linked.good("tar xOf root.tar etc/motd");
    assert_eq!(motd, "hello\n");
    // The edit of a spec shows in the next tar.
    linked.system.write("a.yml", format!("{SPEC}files:\n  - path: etc/motd\n    contents: edited\n"));
    linked.good("LINUXKIT=$PWD/bin/linuxkit bash makeroot.sh tar a.yml");
    assert_eq!(linked.good("tar xOf root.tar etc/motd"), "edited");
    linked.good("LINUXKIT=$PWD/bin/linuxkit bash makeroot.sh squash a.yml");
    assert!(linked.path("root-kernel").is_file());
    // In zlib, as mksquashfs writes it: the flags of its superblock do not say that data is uncompressed.
    let head = fs::read(linked.path("root-squashfs.img")).unwrap();
    assert_eq!((&head[..4], head[20], head[24] & 2), (&b"hsqs"[..], 1, 0));
}

#[test]
fn a_makefile_builds_its_formats_with_its_variable_changed() {
    let linked = Linked::new();
    if !crate::common::have(&["make"]) {
        return;
    }
    fs::write(linked.path("Makefile"), MAKEFILE).unwrap();
    linked.good("make LINUXKIT=bin/linuxkit");
    for name in ["node-kernel", "node-initrd.img", "node-cmdline", "node.iso"] {
        assert!(linked.path("out").join(name).is_file(), "{name}");
    }
    linked.good("make clean LINUXKIT=bin/linuxkit");
    assert!(!linked.path("out").exists() && !linked.good("linuxkit cache ls").contains("test/"));
}
