//! Files that a user names to be read from their start: they may be pipes, and a pipe may have nobody who writes to it.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fstatfs};

/// How long a pipe with a name is waited for at a time. Who writes to it may never come.
const WAIT: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };
/// The file system of pipes without a name, as a shell makes them for `<(command)`: their writers are there (Linux,
/// `magic.h`).
const NAMELESS: u32 = 0x5049_5045;

/// Opens a file to read it. One that is a pipe is read with [`Patient`].
///
/// # Errors
/// What the file system says.
pub fn open_at_once(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    File::options().read(true).custom_flags(flags).open(path)
}

/// Reads a file that was opened [at once](open_at_once), and waits for more of it as long as it makes sense.
pub struct Patient {
    file: File,
    /// None waits without end.
    wait: Option<Timespec>,
}

impl Patient {
    /// The content of this file.
    ///
    /// # Errors
    /// When the file system does not say what the file is.
    pub fn new(file: File) -> io::Result<Self> {
        let has_name = || fstatfs(&file).map(|system| u32::try_from(system.f_type) != Ok(NAMELESS));
        let wait = if file.metadata()?.file_type().is_fifo() && has_name()? { Some(WAIT) } else { None };
        Ok(Self { file, wait })
    }
}

impl Read for Patient {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if poll(&mut [PollFd::new(&self.file, PollFlags::IN)], self.wait.as_ref())? == 0 {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "nobody writes to the pipe"));
        }
        self.file.read(buf)
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    fn pipe(dir: &tempfile::TempDir) -> std::path::PathBuf {
        let path = dir.path().join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        path
    }

    fn text(mut patient: Patient) -> io::Result<String> {
        let mut text = String::new();
        patient.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn a_pipe_that_nobody_writes_to_is_an_error_at_its_start_and_later() {
        let dir = tempfile::tempdir().unwrap();
        let path = pipe(&dir);
        let wait = Some(Timespec { tv_sec: 0, tv_nsec: 1 });
        let open = || Patient { wait, ..Patient::new(open_at_once(&path).unwrap()).unwrap() };
        assert_eq!(text(open()).unwrap_err().kind(), io::ErrorKind::TimedOut);
        let reader = open();
        let mut writer = File::options().write(true).open(&path).unwrap();
        io::Write::write_all(&mut writer, b"begun").unwrap();
        assert_eq!(text(reader).unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_pipe_is_read_when_somebody_writes_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = pipe(&dir);
        let reader = Patient::new(open_at_once(&path).unwrap()).unwrap();
        assert!(reader.wait.is_some());
        std::thread::scope(|scope| {
            scope.spawn(|| std::fs::write(&path, "text").unwrap());
            assert_eq!(text(reader).unwrap(), "text");
        });
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_pipe_without_a_name_is_waited_for() {
        use std::os::fd::AsRawFd as _;
        let (reader, writer) = io::pipe().unwrap();
        let named = format!("/proc/self/fd/{}", reader.as_raw_fd());
        let reader = Patient::new(open_at_once(Path::new(&named)).unwrap()).unwrap();
        assert!(reader.wait.is_none());
        drop(writer);
        assert_eq!(text(reader).unwrap(), "");
    }
}
