//! Where there is no FUSE, no root and one processor, as in a sandbox of a build service.

use std::process::{Command, Stdio};

use crate::cli::system::System;
use crate::common::{have, stdout};

/// Runs in a user namespace whose `/dev` has a few devices, and no other. The arguments are the program, its options for
/// the images, and a directory for files.
const SCRIPT: &str = r#"
set -eu
lkit=$1
dir=$2
mkdir "$dir/dev"
mount -t tmpfs dev "$dir/dev"
for device in null zero urandom; do
    : >"$dir/dev/$device"
    mount --bind "/dev/$device" "$dir/dev/$device"
done
mount --rbind "$dir/dev" /dev
test ! -e /dev/fuse
images="--offline --layout layout"
! "$lkit" mount $images a.yml mnt 2>"$dir/refused"
grep -q /dev/fuse "$dir/refused"
"$lkit" build $images -f kernel+initrd --digest a.yml
"$lkit" run $images --accel tcg --dry-run a.yml
"$lkit" serve $images --background --log "$dir/log" --listen "nbd+unix://$dir/nbd.sock" a.yml 2>"$dir/said"
nbdcopy "nbd+unix:///initrd.img?socket=$dir/nbd.sock" - | sha256sum
kill $(grep -o 'kill [0-9]*' "$dir/said" | cut -d ' ' -f 2)
"#;

#[test]
fn serve_build_and_a_dry_run_work_in_a_user_namespace_without_fuse_on_one_processor() {
    if !have(&["unshare", "taskset", "nbdcopy", "sha256sum"]) {
        return;
    }
    let (system, dir) = (System::new(), tempfile::tempdir().unwrap());
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "taskset", "--cpu-list", first_processor().as_str()]);
    command.args(["sh", "-c", SCRIPT, "sh", env!("CARGO_BIN_EXE_lkit")]).arg(dir.path());
    command.current_dir(system.dir.path()).env("LKIT_CACHE", system.cache()).stdin(Stdio::null());
    let told = stdout("unshare", &command.output().unwrap());
    let digest = |line: &str| line.split(' ').next().unwrap().to_owned();
    let built = told.lines().find(|line| line.ends_with("a-initrd.img")).map(digest);
    let copied = told.lines().find(|line| line.ends_with(" -")).map(digest);
    assert!(built.is_some() && built == copied, "{told}");
    assert!(told.contains("-accel tcg") && told.contains("-kernel"), "{told}");
}

/// A processor that this test may use.
fn first_processor() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim();
    list.split([',', '-']).next().unwrap().to_owned()
}
