//! Bytes through a mount: any split, many readers, mappings, holes, slow and damaged sources.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use lkit::extent::{Bytes, ExtentMap, MapBuilder, ReadError, SharedSource, Sink as _, Source};
use lkit::serve::{Artifact, Files, unmount};
use rustix::fs::{SeekFrom, seek};

use super::mounted::{NOISE, Noise, can_mount, empty, files, mounted, owner, server};
use crate::common::skip_unless;

#[test]
fn fuse_any_range_reads_the_same_by_many_readers_at_once() {
    if !can_mount() {
        return;
    }
    let (dir, session) = mounted(files());
    let rows = [("noise", 0, NOISE), ("rootfs/etc/noise", 1000, 300_000)];
    thread::scope(|scope| {
        for seed in 0..6_u64 {
            let dir = dir.path();
            scope.spawn(move || {
                let (name, start, size) = rows[usize::try_from(seed % 2).unwrap()];
                let file = File::open(dir.join(name)).unwrap();
                let mut state = seed + 1;
                for _ in 0..60 {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let (offset, len) = ((state >> 20) % size, usize::try_from((state >> 8) % 400_000).unwrap());
                    let mut found = vec![0; len];
                    let read = file.read_at(&mut found, offset).unwrap();
                    assert_eq!(read, len.min(usize::try_from(size - offset).unwrap()));
                    let expected = (start + offset..).map(Noise::byte);
                    assert!(found[..read].iter().copied().eq(expected.take(read)), "{read} bytes at {offset}");
                }
            });
        }
    });
    assert_eq!(fs::read(dir.path().join("rootfs/etc/empty")).unwrap(), b"");
    session.unmount().unwrap();
}

#[test]
fn fuse_a_mapped_file_equals_its_source() {
    if !can_mount() {
        return;
    }
    // By another process: one that maps what it serves itself may wait for itself.
    let dir = empty();
    let mut server = server(dir.path());
    let file = File::open(dir.path().join("noise")).unwrap();
    // SAFETY: the file system is read-only and the file never changes.
    let map = unsafe { memmap2::MmapOptions::new().map_copy_read_only(&file).unwrap() };
    assert_eq!(map.len() as u64, NOISE);
    assert!(map.iter().copied().eq((0..NOISE).map(Noise::byte)));
    drop((map, file));
    unmount(dir.path()).unwrap();
    assert!(server.wait().unwrap().success());
}

#[test]
fn fuse_holes_are_told() {
    if !can_mount() {
        return;
    }
    let mut map = MapBuilder::default();
    map.bytes(&[7; 4096]);
    map.zeros(1 << 20);
    map.bytes(&[8; 100]);
    map.zeros(8192);
    let map: ExtentMap = map.finish();
    let end = map.size();
    let (dir, session) = mounted(Files::new(vec![Artifact::ready("disk", Arc::new(map))], None, owner()));
    let file = File::open(dir.path().join("disk")).unwrap();
    let second = 4096 + (1 << 20);
    assert_eq!(seek(&file, SeekFrom::Hole(0)), Ok(4096));
    assert_eq!(seek(&file, SeekFrom::Data(4096)), Ok(second));
    assert_eq!(seek(&file, SeekFrom::Data(second + 50)), Ok(second + 50));
    assert_eq!(seek(&file, SeekFrom::Hole(second)), Ok(second + 100));
    assert_eq!(seek(&file, SeekFrom::Data(second + 100)), Err(rustix::io::Errno::NXIO));
    assert_eq!(seek(&file, SeekFrom::Hole(end)), Err(rustix::io::Errno::NXIO));
    let told = file.metadata().unwrap();
    assert_eq!((told.len(), told.blocks()), (end, 4196_u64.div_ceil(512)));
    drop(file);
    session.unmount().unwrap();
}

/// A source whose reads wait for a word.
struct Slow {
    began: Mutex<Sender<()>>,
    go: Mutex<Receiver<()>>,
}

impl Source for Slow {
    fn size(&self) -> u64 {
        4096
    }

    fn read_at(&self, buf: &mut [u8], _: u64) -> Result<(), ReadError> {
        self.began.lock().unwrap().send(()).unwrap();
        self.go.lock().unwrap().recv().unwrap();
        buf.fill(1);
        Ok(())
    }
}

#[test]
fn fuse_a_slow_read_keeps_no_stat_waiting() {
    if !can_mount() {
        return;
    }
    let ((began, beginning), (go, going)) = (channel(), channel());
    let slow: SharedSource = Arc::new(Slow { began: Mutex::new(began), go: Mutex::new(going) });
    let slows = (0..40).map(|number| Artifact::ready(format!("slow-{number}"), slow.clone()));
    let quick = Artifact::ready("quick", Arc::new(Bytes([2; 10].into())));
    let (dir, session) = mounted(Files::new(slows.chain([quick]).collect(), None, owner()));
    thread::scope(|scope| {
        // More reads than there are readers: the queue is full of them.
        let read = |number: usize| fs::read(dir.path().join(format!("slow-{number}"))).unwrap();
        let readers: Vec<_> = (0..40).map(|number| scope.spawn(move || read(number))).collect();
        beginning.recv().unwrap();
        assert_eq!(fs::metadata(dir.path().join("quick")).unwrap().len(), 10);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 41);
        (0..40).for_each(|_| go.send(()).unwrap());
        for reader in readers {
            assert_eq!(reader.join().unwrap(), [1; 4096]);
        }
    });
    session.unmount().unwrap();
}

/// A source that panics.
struct Broken;

impl Source for Broken {
    fn size(&self) -> u64 {
        100
    }

    fn read_at(&self, _: &mut [u8], _: u64) -> Result<(), ReadError> {
        panic!("a broken source");
    }
}

#[test]
fn fuse_damage_is_an_error_of_that_read_alone() {
    if !can_mount() {
        return;
    }
    let artifacts = vec![
        Artifact::ready("broken", Arc::new(Broken)),
        Artifact::ready("damaged", Arc::new(super::mounted::Damaged)),
        Artifact::ready("good", Arc::new(Noise(50))),
    ];
    let (dir, session) = mounted(Files::new(artifacts, None, owner()));
    for _ in 0..20 {
        for name in ["broken", "damaged"] {
            let error = fs::read(dir.path().join(name)).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::IO.raw_os_error()), "{name}");
        }
    }
    assert_eq!(fs::read(dir.path().join("good")).unwrap().len(), 50);
    session.unmount().unwrap();
}

/// 64 MiB that tell how often and how much of them is read.
#[derive(Default)]
struct Counted {
    reads: AtomicU64,
    bytes: AtomicU64,
}

impl Source for Counted {
    fn size(&self) -> u64 {
        64 << 20
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        // What the kernel asks for; what is stored behind it is read in longer steps.
        self.reads.fetch_add(u64::from(buf.len() <= 128 << 10), Ordering::Relaxed);
        self.bytes.fetch_add(buf.len() as u64, Ordering::Relaxed);
        buf.iter_mut().zip(offset..).for_each(|(byte, at)| *byte = Noise::byte(at));
        Ok(())
    }
}

impl Counted {
    fn taken(&self) -> (u64, u64) {
        (self.reads.swap(0, Ordering::Relaxed), self.bytes.swap(0, Ordering::Relaxed))
    }
}

#[test]
fn fuse_a_reader_in_short_steps_is_given_what_follows() {
    if !can_mount() {
        return;
    }
    let source = Arc::new(Counted::default());
    let artifact = |name: &str| Artifact::ready(name, source.clone());
    let (dir, session) = mounted(Files::new(vec![artifact("alone"), artifact("shared")], None, owner()));
    // What an ordinary user has.
    let device = fs::metadata(dir.path()).unwrap().dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let lowered = fs::write(format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb"), "128");
    if !skip_unless(lowered.is_ok(), "the read-ahead of a mount cannot be set") {
        return;
    }
    let file = File::open(dir.path().join("alone")).unwrap();
    let mut buf = vec![0; 1 << 20];
    let read = |file: &File, buf: &mut [u8], offset: u64| {
        file.read_exact_at(buf, offset).unwrap();
        assert!(buf.iter().copied().eq((offset..).map(Noise::byte).take(buf.len())), "at {offset}");
    };
    for at in 0..200_u64 {
        read(&file, &mut buf[..4096], (at * 35_393_536_007) % (60 << 20));
    }
    let (reads, bytes) = source.taken();
    assert!((200..=420).contains(&reads) && bytes < 420 * 8192, "{reads} reads of {bytes} bytes at random");
    (0..64).for_each(|at| read(&file, &mut buf, at << 20));
    let (reads, bytes) = source.taken();
    assert!(reads <= 100 && bytes <= source.size() * 11 / 10, "{reads} reads of {bytes} bytes in order");
    // Readers of one file who get in each other's way.
    let shared = File::open(dir.path().join("shared")).unwrap();
    thread::scope(|scope| {
        for start in 0..6 {
            let shared = &shared;
            scope.spawn(move || (start..64).for_each(|at| read(shared, &mut vec![0; 1 << 20], at << 20)));
        }
    });
    drop((file, shared));
    session.unmount().unwrap();
}
