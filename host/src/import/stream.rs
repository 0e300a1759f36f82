//! Reads the bytes of a file in order, and decompresses, counts and digests them.
//!
//! The digest identifies the bytes that were read. A later run resumes only if the file still begins with them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};

use super::{BLANK_BYTES_MAX, ImportError};
use crate::domain::hex::hex;

const BUFFER_BYTES: usize = 256 << 10;
const BYTE_ORDER_MARK: &[u8] = &[0xEF, 0xBB, 0xBF];

/// Bytes at the beginning of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefix {
    /// The number of bytes.
    pub bytes: u64,
    /// Their SHA-256 in hexadecimal digits.
    pub sha256: String,
}

/// A position in a stream, with the digest of all bytes before it.
#[derive(Clone)]
pub(super) struct Mark {
    bytes: u64,
    digest: Sha256,
}

impl Mark {
    pub(super) fn prefix(self) -> Prefix {
        Prefix { bytes: self.bytes, sha256: hex(&self.digest.finalize()) }
    }
}

/// An open file.
pub struct Stream {
    file: PathBuf,
    inner: Box<dyn BufRead + Send>,
    digest: Sha256,
    is_digested: bool,
    taken: u64,
    last_byte: Option<u8>,
    read: Arc<AtomicU64>,
    size: Option<u64>,
}

/// Counts the compressed bytes read, for a progress bar.
struct Counting<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl Stream {
    /// Opens a file; `-` is stdin. Gzip is decompressed, regardless of the file's name.
    ///
    /// # Errors
    /// When it is missing, cannot be read, or is UTF-16.
    pub fn open(file: &Path) -> Result<Self, ImportError> {
        let fail = |message: String| ImportError { file: file.to_owned(), line: None, message };
        if file.as_os_str() == "-" {
            return Self::new(file, io::stdin(), None);
        }
        if file.is_dir() {
            return Err(fail("is a folder, not a file".to_owned()));
        }
        let opened = File::open(file).map_err(|error| {
            fail(match error.kind() {
                io::ErrorKind::NotFound => "not found".to_owned(),
                io::ErrorKind::PermissionDenied => "cannot be read: permission denied".to_owned(),
                _ => unreadable(&error),
            })
        })?;
        // A pipe has no size.
        let size = opened.metadata().ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len());
        Self::new(file, opened, size)
    }

    /// Reads the bytes of any reader.
    ///
    /// # Errors
    /// When it cannot be read, or is UTF-16.
    pub(super) fn new(file: &Path, reader: impl Read + Send + 'static, size: Option<u64>) -> Result<Self, ImportError> {
        let fail = |message: String| ImportError { file: file.to_owned(), line: None, message };
        let read = Arc::new(AtomicU64::new(0));
        let (start, inner) =
            unpacked(Counting { inner: reader, read: read.clone() }).map_err(|error| fail(unreadable(&error)))?;
        if start.starts_with(&[0xFF, 0xFE]) || start.starts_with(&[0xFE, 0xFF]) {
            return Err(fail("is UTF-16: save it as UTF-8".to_owned()));
        }
        let digest = Sha256::new();
        let (file, is_digested) = (file.to_owned(), true);
        Ok(Self { file, inner, digest, is_digested, taken: 0, last_byte: None, read, size })
    }

    /// Turns off the digest, for a file that is never resumed. Digesting takes longer than reading.
    pub(super) fn without_digest(mut self) -> Self {
        self.is_digested = false;
        self
    }

    /// Skips the bytes of an earlier run. `false` when they are not the same bytes or do not end with a line. Then the
    /// stream is unusable, and the file must be opened again.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn skip(&mut self, prefix: &Prefix) -> Result<bool, ImportError> {
        let mut skip = || -> io::Result<bool> {
            while self.taken < prefix.bytes {
                let left = usize::try_from(prefix.bytes - self.taken).unwrap_or(usize::MAX);
                let length = self.fill()?.len().min(left);
                if length == 0 {
                    return Ok(false);
                }
                self.take(length);
            }
            let is_at_line = matches!(self.last_byte, None | Some(b'\n' | b'\r')) || self.fill()?.is_empty();
            Ok(is_at_line && self.taken().sha256 == prefix.sha256)
        };
        skip().map_err(|error| self.error(None, unreadable(&error)))
    }

    /// The position after the bytes that were read.
    #[must_use]
    pub fn taken(&self) -> Prefix {
        self.mark().prefix()
    }

    /// The position as a count alone, without a digest.
    pub(super) fn mark(&self) -> Mark {
        Mark { bytes: self.taken, digest: self.digest.clone() }
    }

    pub(super) fn taken_bytes(&self) -> u64 {
        self.taken
    }

    /// A counter of the bytes read of the file as it is on disk.
    #[must_use]
    pub fn read_count(&self) -> Arc<AtomicU64> {
        self.read.clone()
    }

    /// The length of the file on disk; `None` for a pipe.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Skips a byte order mark, if the stream begins with one.
    pub(super) fn take_byte_order_mark(&mut self) -> Result<(), ImportError> {
        let is_there = self.fill().map(|bytes| bytes.starts_with(BYTE_ORDER_MARK));
        if self.taken == 0 && is_there.map_err(|error| self.error(None, unreadable(&error)))? {
            self.take(BYTE_ORDER_MARK.len());
        }
        Ok(())
    }

    /// The next bytes: at least one, unless the end is reached.
    pub(super) fn fill(&mut self) -> io::Result<&[u8]> {
        loop {
            // The borrow checker needs two calls in a loop; the second returns buffered bytes.
            match self.inner.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(_) => break,
            }
        }
        self.inner.fill_buf()
    }

    pub(super) fn last_byte(&self) -> Option<u8> {
        self.last_byte
    }

    /// Consumes bytes that `fill` returned.
    pub(super) fn take(&mut self, count: usize) {
        if let Ok(bytes) = self.inner.fill_buf()
            && let Some(taken) = bytes.get(..count)
        {
            if self.is_digested {
                self.digest.update(taken);
            }
            self.last_byte = taken.last().copied().or(self.last_byte);
            self.taken += count as u64;
            self.inner.consume(count);
        }
    }

    /// Fails when too many blank lines follow `from`.
    pub(super) fn bound_blanks(&self, line: u64, from: u64) -> Result<(), ImportError> {
        if self.taken - from <= BLANK_BYTES_MAX {
            return Ok(());
        }
        let limit = BLANK_BYTES_MAX >> 20;
        Err(self.error(Some(line), format!("more than {limit} MiB of blank lines: not a file of records")))
    }

    pub(super) fn error(&self, line: Option<u64>, message: String) -> ImportError {
        ImportError { file: self.file.clone(), line, message }
    }
}

/// The decompressed content if it is gzip, else the content; with its first bytes.
fn unpacked(reader: impl Read + Send + 'static) -> io::Result<(Vec<u8>, Box<dyn BufRead + Send>)> {
    let (start, packed) = with_start(reader)?;
    if !start.starts_with(&[0x1F, 0x8B]) {
        return Ok((start, Box::new(packed)));
    }
    let (start, inner) = with_start(flate2::bufread::MultiGzDecoder::new(packed))?;
    Ok((start, Box::new(inner)))
}

/// The first bytes, enough to recognise the format, and a reader of the whole. A pipe may return fewer at a time.
fn with_start<R: Read>(mut reader: R) -> io::Result<(Vec<u8>, BufReader<impl Read + use<R>>)> {
    let mut start = Vec::with_capacity(BYTE_ORDER_MARK.len());
    reader.by_ref().take(BYTE_ORDER_MARK.len() as u64).read_to_end(&mut start)?;
    let whole = Cursor::new(start.clone()).chain(reader);
    Ok((start, BufReader::with_capacity(BUFFER_BYTES, whole)))
}

pub(super) fn unreadable(error: &io::Error) -> String {
    format!("cannot be read: {error}")
}
