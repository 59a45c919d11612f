//! Faults in memory that others can take back: a file that is shortened while it is mapped.
//!
//! Who touches a page behind the end of a file that is mapped gets SIGBUS (mmap(2)), which ends the process. So the ranges that
//! may fault stand in a table; a fault in one of them has zeros take the place of the whole range, and sets a flag. Any
//! other fault ends the process as before.
//!
//! # Invariants
//! The handler takes no lock and allocates nothing: it reads the table, and makes one system call.

use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Ranges at a time: one door full of front ends with as many regions as the protocol allows.
const MOST_RANGES: usize = 8192;

/// The ranges that may fault; those of no length are free.
static TABLE: [Entry; MOST_RANGES] = [const { Entry::new() }; MOST_RANGES];
/// Changes of the table, counted before and after each: odd while one is made.
static CHANGES: AtomicUsize = AtomicUsize::new(0);
/// Held by who changes the table.
static WRITER: Mutex<()> = Mutex::new(());
/// What a fault came to before; nothing where the handler cannot be installed.
static BEFORE: OnceLock<Option<libc::sigaction>> = OnceLock::new();

struct Entry {
    start: AtomicUsize,
    len: AtomicUsize,
    is_lost: AtomicPtr<AtomicBool>,
}

impl Entry {
    const fn new() -> Self {
        let (start, len) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { start, len, is_lost: AtomicPtr::new(ptr::null_mut()) }
    }

    fn set(&self, start: usize, len: usize, is_lost: *const AtomicBool) {
        let _writer = WRITER.lock().unwrap_or_else(PoisonError::into_inner);
        CHANGES.fetch_add(1, SeqCst);
        self.start.store(start, SeqCst);
        self.len.store(len, SeqCst);
        self.is_lost.store(is_lost.cast_mut(), SeqCst);
        CHANGES.fetch_add(1, SeqCst);
    }

    fn holds(&self, address: usize) -> bool {
        address.wrapping_sub(self.start.load(SeqCst)) < self.len.load(SeqCst)
    }

    /// Has zeros take the place of the range; whether they do.
    fn replace(&self) -> bool {
        let start = ptr::without_provenance_mut(self.start.load(SeqCst));
        let (access, len) = (libc::PROT_READ | libc::PROT_WRITE, self.len.load(SeqCst));
        let flags = libc::MAP_FIXED | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: who made the entry vouches that all of the range is one mapping, that it stays while the entry stands, and
        // that any bytes may come into it at any time. The entry stands: a thread is at this moment reading the range.
        let mapped = unsafe { libc::mmap(start, len, access, flags, -1, 0) };
        // SAFETY: the flag lives as long as the entry stands.
        unsafe { self.is_lost.load(SeqCst).as_ref() }.inspect(|is_lost| is_lost.store(true, SeqCst));
        mapped != libc::MAP_FAILED
    }
}

/// A range of memory whose loss is survived while this lives.
pub(super) struct Watched {
    entry: &'static Entry,
    start: usize,
    /// Keeps it where the entry says it is.
    _is_lost: Arc<AtomicBool>,
}

impl Watched {
    /// Watches a range; a fault in it sets the flag.
    ///
    /// # Errors
    /// When too many are watched already, or the system does not tell of faults.
    ///
    /// # Safety
    /// The range begins a mapping that stays while this lives, and ends in the last page of it; who uses it expects any bytes
    /// there, at any time.
    pub unsafe fn new(start: usize, len: usize, is_lost: Arc<AtomicBool>) -> io::Result<Self> {
        static FREE: Mutex<()> = Mutex::new(());
        if BEFORE.get_or_init(install).is_none() {
            return Err(io::Error::other("faults in the memory of guests cannot be caught"));
        }
        let _chosen = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = TABLE.iter().find(|entry| entry.len.load(SeqCst) == 0);
        let entry = entry.ok_or_else(|| io::Error::other("the memory of guests is in too many regions"))?;
        entry.set(start, len, Arc::as_ptr(&is_lost));
        Ok(Self { entry, start, _is_lost: is_lost })
    }

    /// Where the range begins.
    pub fn start(&self) -> usize {
        self.start
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.entry.set(0, 0, ptr::null());
    }
}

/// The entry that an address lies in, as the table is between two changes.
fn entry_of(address: usize) -> Option<&'static Entry> {
    loop {
        let before = CHANGES.load(SeqCst);
        let found = TABLE.iter().find(|entry| entry.holds(address));
        if before.is_multiple_of(2) && CHANGES.load(SeqCst) == before {
            return found;
        }
        std::hint::spin_loop();
    }
}

/// Installs the handler; what was there before.
fn install() -> Option<libc::sigaction> {
    let before = action(None)?;
    let mut ours = before;
    ours.sa_sigaction = on_fault as *const () as libc::sighandler_t;
    // Others may be blocked or not: nothing that the handler does waits for one.
    ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    action(Some(&ours)).map(|_| before)
}

/// Sets what a fault comes to, where that is given; what it came to before.
fn action(new: Option<&libc::sigaction>) -> Option<libc::sigaction> {
    let mut before = MaybeUninit::uninit();
    // SAFETY: both are one structure or nothing, and the handler in `new` may run at any time.
    let done = unsafe { libc::sigaction(libc::SIGBUS, new.map_or(ptr::null(), ptr::from_ref), before.as_mut_ptr()) };
    // SAFETY: the system has filled it.
    (done == 0).then(|| unsafe { before.assume_init() })
}

extern "C" fn on_fault(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the system hands over what it knows of the fault.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr().addr()) };
    // Other codes are signals that a process sent, which have no address.
    let is_survived = code > 0 && entry_of(address).is_some_and(Entry::replace);
    if !is_survived {
        // The thread goes on at the same place, and faults again.
        action(BEFORE.get().and_then(Option::as_ref));
    }
}
