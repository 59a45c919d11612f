//! How mounts end: by unmounting, by signals, by a killed server; and mounts of ordinary users.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::system::{Mounted, System, assert_says, is_mounted, server_of, signal, wait_for};
use crate::common::{have, install, install_script, run, skip_unless, stdout};

/// Waits until neither mount nor server is left.
fn gone(dir: &Path, server: u32) {
    wait_for("the mount to go", || !is_mounted(dir));
    wait_for("the server to end", || !Path::new(&format!("/proc/{server}")).exists());
    assert_eq!(fs::read_dir(dir).unwrap().count(), 0);
}

#[test]
fn fuse_every_way_to_unmount_ends_the_server() {
    let system = System::new();
    for way in ["umount", "fusermount3 -u", "lkit", "TERM", "INT", "HUP", "QUIT", "USR1", "USR2"] {
        let Some(mounted) = system.mounted() else { return };
        let server = mounted.server();
        match way {
            "lkit" => drop(system.good("umount mnt")),
            "umount" | "fusermount3 -u" => {
                let words: Vec<_> = way.split(' ').chain([mounted.0.to_str().unwrap()]).collect();
                run(words[0], &words[1..]);
            }
            _ => signal(way, server),
        }
        gone(&mounted.0, server);
    }
    for dir in ["mnt", "not-there"] {
        let said =
            format!("error: nothing is mounted on `{dir}`\n\nhint: `findmnt -t fuse.lkit` lists the mounts of lkit\n");
        assert_eq!(system.bad(&format!("umount {dir}"), 1), said);
    }
}

#[test]
fn fuse_a_mount_ends_while_it_is_read() {
    let system = System::new();
    for way in ["lkit", "TERM"] {
        let Some(mounted) = system.mounted() else { return };
        let server = mounted.server();
        let mut file = fs::File::open(mounted.path("a.tar")).unwrap();
        file.read_exact(&mut [0; 512]).unwrap();
        let reader = std::thread::spawn(move || file.read_to_end(&mut Vec::new()).is_ok());
        if way == "lkit" {
            drop(system.good("umount mnt"))
        } else {
            signal(way, server)
        }
        // What it had open it may read to its end or be refused; it must not hang.
        let _ = reader.join().unwrap();
        gone(&mounted.0, server);
    }
}

#[test]
fn fuse_the_end_of_an_old_mount_leaves_the_new_one_in_its_place() {
    let system = System::new();
    for way in ["the last file is closed", "TERM"] {
        let Some(old) = system.mounted() else { return };
        let server = old.server();
        let file = fs::File::open(old.path("cmdline")).unwrap();
        system.good("umount mnt");
        assert!(Path::new(&format!("/proc/{server}")).exists());
        let new = system.mounted().unwrap();
        if way == "TERM" {
            signal(way, server);
        } else {
            drop(file);
        }
        wait_for("the old server to end", || !runs(server));
        assert!(is_mounted(&new.0), "{way}");
        assert_eq!(new.read("cmdline"), b"console=ttyS0");
        system.good("umount mnt");
        wait_for("the new server to end", || server_of(&new.0).is_none());
    }
}

#[test]
fn fuse_the_dead_mount_of_a_killed_server_is_cleared() {
    let system = System::new();
    let Some(mounted) = system.mounted() else { return };
    let kill = |server| {
        signal("KILL", server);
        wait_for("the server to die", || fs::read_dir(&mounted.0).is_err());
        assert!(is_mounted(&mounted.0));
    };
    kill(mounted.server());
    system.good("mount a.yml mnt");
    assert_eq!(mounted.read("cmdline"), b"console=ttyS0");
    kill(mounted.server());
    system.good("umount mnt");
    assert!(!is_mounted(&mounted.0));
}

#[test]
fn fuse_a_foreground_mount_stays_until_it_is_asked_to_end() {
    let system = System::new();
    if !super::system::can_mount() {
        return;
    }
    // Twice SIGHUP is what the foreground of a terminal gets that is closed: from the kernel, and from the shell.
    for signals in [&["INT"][..], &["TERM"], &["HUP", "HUP"], &["QUIT"], &["USR1"], &["USR2"]] {
        let mut child = system.command("mount --foreground a.yml mnt").stderr(Stdio::piped()).spawn().unwrap();
        let mounted = Mounted(system.mount_point());
        wait_for("the mount", || is_mounted(&mounted.0));
        assert_eq!(mounted.read("cmdline"), b"console=ttyS0");
        assert!(child.try_wait().unwrap().is_none());
        // In one shell, so that they come close together.
        let kills: String = signals.iter().map(|name| format!("kill -{name} {}; ", child.id())).collect();
        run("sh", ["-c", &format!("{kills} true")]);
        assert_eq!(child.wait().unwrap().code(), Some(0), "{signals:?}");
        assert!(!is_mounted(&mounted.0), "{signals:?}");
    }
}

#[test]
fn fuse_messages_of_the_server_go_to_the_log() {
    let system = System::new();
    if !super::system::can_mount() {
        return;
    }
    system.good("mount --log log a.yml mnt");
    let mounted = Mounted(system.mount_point());
    assert!(system.path("log").is_file());
    assert_says(&system.bad("mount --log no/log a.yml mnt", 1), &["cannot open log file `no/log`"]);
    assert!(server_of(&mounted.0).is_some());
}

#[test]
fn fuse_a_signal_between_mount_and_machine_leaves_neither() {
    let system = System::new();
    if !super::system::can_mount() {
        return;
    }
    fs::create_dir(system.path("tmp")).unwrap();
    install_script("#!/bin/sh\nexec sleep 60\n", &system.path("qemu"));
    // The disk of the machine is made once the system is mounted, and here not before we write.
    fs::create_dir(system.path("bin")).unwrap();
    install_script("#!/bin/sh\n: >reached\nread -r word <go\n", &system.path("bin/qemu-img"));
    let go = system.path("go");
    run("mkfifo", [&go]);
    // For both, so that nobody waits for the other to open it.
    let mut go = fs::File::options().read(true).write(true).open(go).unwrap();
    let path = format!("{}:{}", system.path("bin").display(), std::env::var("PATH").unwrap());
    let mut child = system
        .command("run --accel tcg --qemu ./qemu --disk file=disk,size=1M,format=qcow2 a.yml")
        .env("TMPDIR", system.path("tmp"))
        .env("PATH", path)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the disk to be made", || system.path("reached").exists());
    signal("TERM", child.id());
    go.write_all(b"go\n").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(fs::read_dir(system.path("tmp")).unwrap().count(), 0);
    assert!(!fs::read_to_string("/proc/mounts").unwrap().contains(system.path("tmp").to_str().unwrap()));
}

#[test]
fn fuse_a_mount_in_use_tells_at_once_whom_it_waits_for() {
    let system = System::new();
    if !super::system::can_mount() {
        return;
    }
    let mut child = system.command("mount --foreground a.yml mnt").stderr(Stdio::piped()).spawn().unwrap();
    let mounted = Mounted(system.mount_point());
    wait_for("the mount", || is_mounted(&mounted.0));
    let file = fs::File::open(mounted.path("cmdline")).unwrap();
    signal("INT", child.id());
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = said.next().unwrap().unwrap();
    assert_says(
        &line,
        &[
            "the mount is in use; waiting up to 2 seconds for `",
            &format!("` ({}); Ctrl-C again ends it now", std::process::id()),
        ],
    );
    assert!(!is_mounted(&mounted.0));
    drop(file);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Closes the terminal of an interactive shell that has a mount in its foreground.
const CLOSE_TERMINAL: &str = "import os, pty, sys, time
pid, terminal = pty.fork()
if pid == 0:
    os.execvp('bash', ['bash', '--norc', '-i'])
os.write(terminal, (sys.argv[1] + '\\n').encode())
begin = time.time()
while not os.path.ismount('mnt') and time.time() < begin + 60:
    time.sleep(0.01)
mounted = os.path.ismount('mnt')
os.close(terminal)
os.waitpid(pid, 0)
sys.exit(0 if mounted else 9)";

#[test]
fn fuse_closing_the_terminal_of_a_foreground_mount_ends_it() {
    let system = System::new();
    if !have(&["python3", "bash"]) || !super::system::can_mount() {
        return;
    }
    for _ in 0..5 {
        let mut command = Command::new("python3");
        let line = format!("{} mount --offline --layout layout -f a.yml mnt", env!("CARGO_BIN_EXE_lkit"));
        command.args(["-c", CLOSE_TERMINAL, &line]).current_dir(system.dir.path()).env("LKIT_CACHE", system.cache());
        stdout("python3", &command.output().unwrap());
        let mounted = Mounted(system.mount_point());
        wait_for("the mount to go", || !is_mounted(&mounted.0));
    }
}

#[test]
fn fuse_closing_the_terminal_of_an_ordinary_user_ends_his_mount() {
    let system = System::new();
    let root = rustix::process::geteuid().is_root();
    let tools = ["python3", "bash", "runuser", "unshare", "fusermount3"];
    if !have(&tools) || !super::system::can_mount() || !skip_unless(root, "only root can become another user") {
        return;
    }
    install(Path::new(env!("CARGO_BIN_EXE_lkit")), &system.path("lkit"));
    let place = system.dir.path().to_str().unwrap();
    run("chown", ["-R", "nobody", place]);
    run("chmod", ["-R", "a+rX", place]);
    // With a device that everybody may open, as it is on most machines, and mounts that end with this test.
    let script = "mknod device c 10 229; chmod 666 device; mount --bind device /dev/fuse
        for _ in 1 2 3 4 5; do
            runuser -u nobody -- python3 -c \"$1\" './lkit mount --offline --layout layout --cache cache -f a.yml mnt'
            tries=0
            while findmnt --noheadings --target \"$PWD/mnt\" --output FSTYPE | grep -q fuse.lkit; do
                tries=$((tries + 1)); test $tries -lt 6000 || exit 9; read -t 0.01 _ </dev/zero || true
            done
        done";
    let mut command = Command::new("unshare");
    command.args(["-m", "bash", "-ec", script, "bash", CLOSE_TERMINAL]).current_dir(system.dir.path());
    stdout("bash", &command.output().unwrap());
}

/// A monitor that writes its process id to `machine` and then does nothing.
fn idle_monitor(system: &System) {
    let script = "#!/bin/sh\necho $$ >machine.new\nmv machine.new machine\nexec sleep 600\n";
    install_script(script, &system.path("qemu"));
    fs::create_dir_all(system.path("tmp")).unwrap();
}

/// `lkit run` with that monitor, and the process id of the machine.
fn running(system: &System) -> (Child, u32) {
    let mut command = system.command("run --accel tcg --qemu ./qemu a.yml");
    let child = command.env("TMPDIR", system.path("tmp")).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("the machine", || system.path("machine").exists());
    let machine = fs::read_to_string(system.path("machine")).unwrap().trim().parse().unwrap();
    fs::remove_file(system.path("machine")).unwrap();
    (child, machine)
}

/// Whether a process runs; one that has ended and is waited for by nobody does not.
fn runs(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|state| !state.is_empty() && !state.starts_with(['Z', 'X']))
}

/// The mount points of machines, whether their servers live or not.
fn machine_mounts(system: &System) -> Vec<PathBuf> {
    let dirs = fs::read_dir(system.path("tmp")).unwrap().map(|entry| entry.unwrap().path().join("mnt"));
    dirs.filter(|point| is_mounted(point)).collect()
}

#[test]
fn fuse_a_killed_run_takes_its_machine_along_and_the_next_one_clears_its_mount() {
    let system = System::new();
    if !super::system::can_mount() {
        return;
    }
    idle_monitor(&system);
    let kill = || {
        let (mut child, machine) = running(&system);
        assert!(runs(machine));
        child.kill().unwrap();
        child.wait().unwrap();
        wait_for("the machine to be killed", || !runs(machine));
        let [point] = &machine_mounts(&system)[..] else { panic!("no mount is left") };
        assert_eq!(fs::read_dir(point).unwrap_err().raw_os_error(), Some(rustix::io::Errno::NOTCONN.raw_os_error()));
    };
    kill();
    let (mut child, machine) = running(&system);
    let [live] = &machine_mounts(&system)[..] else { panic!("the dead mount is not cleared") };
    assert_eq!(fs::read(live.join("cmdline")).unwrap(), b"console=ttyS0");
    // Nor does another command take what is in use for left behind.
    let mut mount = system.command("mount a.yml mnt");
    stdout("mount", &mount.env("TMPDIR", system.path("tmp")).output().unwrap());
    let _mounted = Mounted(system.mount_point());
    assert_eq!(fs::read(live.join("cmdline")).unwrap(), b"console=ttyS0");
    signal("USR1", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!runs(machine));
    assert_eq!(fs::read_dir(system.path("tmp")).unwrap().count(), 0);
    kill();
    system.good("umount mnt");
    let mut mount = system.command("mount a.yml mnt");
    stdout("mount", &mount.env("TMPDIR", system.path("tmp")).output().unwrap());
    assert_eq!(fs::read_dir(system.path("tmp")).unwrap().count(), 0);
}

#[test]
fn fuse_a_machine_that_does_not_end_when_asked_is_killed_by_the_second_signal() {
    let system = System::new();
    if !super::system::can_mount() {
        return;
    }
    idle_monitor(&system);
    let deaf = "#!/bin/sh\ntrap '' TERM\necho $$ >machine.new\nmv machine.new machine\nexec sleep 600\n";
    install_script(deaf, &system.path("qemu"));
    let (mut child, machine) = running(&system);
    // As `timeout` sends it: to the program, and to its process group.
    signal("TERM", child.id());
    signal("TERM", child.id());
    let start = Instant::now();
    wait_for("the next signal to be another one", || start.elapsed() > 2 * lkit::base::TOGETHER);
    assert!(child.try_wait().unwrap().is_none() && runs(machine));
    // A terminal that is closed does not insist.
    signal("HUP", child.id());
    let start = Instant::now();
    wait_for("the next signal to be another one", || start.elapsed() > 2 * lkit::base::TOGETHER);
    assert!(child.try_wait().unwrap().is_none() && runs(machine));
    signal("INT", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!runs(machine) && machine_mounts(&system).is_empty());
}

#[test]
fn a_build_that_a_signal_ends_leaves_no_file() {
    let system = System::new();
    for name in ["INT", "TERM", "HUP", "QUIT", "USR1", "USR2"] {
        let dir = system.path(name);
        fs::create_dir(&dir).unwrap();
        run("mkfifo", [dir.join("a-cmdline")]);
        let mut build = system.command(&format!("build --dir {name} a.yml"));
        let mut child = build.stderr(Stdio::piped()).spawn().unwrap();
        wait_for("the build to write", || has_open(child.id(), &dir));
        signal(name, child.id());
        // It cannot end before somebody reads from the pipe, which is the last of its files.
        let reader = fs::File::options().read(true).custom_flags(libc::O_NONBLOCK).open(dir.join("a-cmdline")).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{name}");
        let names: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["a-cmdline"], "{name}");
        drop(reader);
    }
}

/// Whether a process has a file below `dir` open, with a name or without.
fn has_open(process: u32, dir: &Path) -> bool {
    let open = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().filter_map(Result::ok);
    open.filter_map(|file| fs::read_link(file.path()).ok()).any(|path| path.starts_with(dir))
}

#[test]
fn fuse_an_ordinary_user_mounts_reads_and_unmounts() {
    let system = System::new();
    if !have(&["runuser", "fusermount3"]) || !super::system::can_mount() {
        return;
    }
    let open_to_all = fs::metadata("/dev/fuse").unwrap().permissions().mode() & 0o006 == 0o006;
    let root = rustix::process::geteuid().is_root();
    if !skip_unless(root && open_to_all, "/dev/fuse is not for ordinary users; `chmod 666 /dev/fuse`") {
        return;
    }
    let home = system.path("home");
    let program = system.path("lkit");
    install(Path::new(env!("CARGO_BIN_EXE_lkit")), &program);
    fs::create_dir_all(home.join("mnt")).unwrap();
    run("chown", ["-R", "nobody", home.to_str().unwrap()]);
    run("chmod", ["-R", "a+rX", system.dir.path().to_str().unwrap()]);
    let user = |line: &str| {
        let mut command = Command::new("runuser");
        // `runuser` sets the home directory of the account, which `nobody` does not have.
        command.args(["-u", "nobody", "--", "env"]).arg(format!("HOME={}", home.display()));
        command.arg(if line.starts_with("lkit") { program.as_os_str() } else { "cat".as_ref() });
        command.args(line.split(' ').skip(1)).current_dir(&home);
        command.env_remove("XDG_CACHE_HOME").env_remove("LKIT_CACHE").stdin(Stdio::null());
        command.output().unwrap()
    };
    stdout("mount", &user("lkit mount --offline --layout ../layout ../a.yml mnt"));
    let mounted = Mounted(home.join("mnt"));
    assert_eq!(user("cat mnt/rootfs/etc/motd").stdout, b"hello\n");
    assert!(home.join(".cache/lkit").is_dir());
    stdout("umount", &user("lkit umount mnt"));
    assert!(!is_mounted(&mounted.0));
}
