//! The entry for fuzz targets (`fuzz/`): reads a file from memory in small pieces. Nothing else may call it.

use std::io::{self, Cursor, Read};
use std::path::Path;

use super::{Chunks, ImportError, Options, Prefix, Stream};

/// A reader that returns at most this many bytes at a time, as a pipe may.
struct Pieces {
    bytes: Cursor<Vec<u8>>,
    piece_bytes_max: usize,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(self.piece_bytes_max);
        self.bytes.read(&mut buffer[..length])
    }
}

/// As [`Chunks::open`], for a file of these bytes, with at most `records_max` records in a chunk.
///
/// # Errors
/// As [`Chunks::open`].
pub fn chunks(
    bytes: &[u8],
    piece_bytes_max: usize,
    records_max: u64,
    options: Options,
    earlier: Option<(&Prefix, u64)>,
) -> Result<Chunks, ImportError> {
    let file = Path::new("file");
    let open = || {
        let pieces = Pieces { bytes: Cursor::new(bytes.to_vec()), piece_bytes_max };
        Stream::new(file, pieces, None)
    };
    Ok(Chunks::of(&open, options, earlier)?.with_records_max(records_max))
}
