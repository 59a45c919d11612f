//! Roots that are compressed while they are written, to a file in which the first bytes can be written last.

use std::fs::File;
use std::io::{self, BufWriter, Seek as _, Write as _};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;

use crate::base::{MIB, in_memory, processors};
use crate::format::{PackError, Packing};
use crate::output::PackedRoot;

/// Writes a root to a file that is empty, and tells how many bytes it has. `passed` hears how much content has been read.
pub(super) fn write_root(
    root: &PackedRoot,
    mut file: &File,
    passed: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<u64, PackError> {
    file.stream_position().map_err(|_| no_stream())?;
    let mut output = BufWriter::with_capacity(in_memory(MIB), file);
    let packed = root.write(Packing { codec: root.codec(), threads: processors(), output: &mut output, passed })?;
    output.flush()?;
    file.write_all_at(&packed.head, 0)?;
    Ok(packed.size)
}

/// Why a compressed root cannot go into a pipe.
pub(super) fn no_stream() -> io::Error {
    io::Error::other("the first bytes of a compressed root are written last, so it takes a file")
}
