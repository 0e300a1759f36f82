//! Reads the lines of a stream, one at a time. They end with LF, CRLF or CR alone. A line that exceeds the limit for
//! records is skipped; one without an end in sight stops the import.

use super::stream::{Stream, unreadable};
use super::{ImportError, LINE_BYTES_MAX, RECORD_BYTES_MAX};

/// The result of reading a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line, without its end; it may be empty.
    Whole,
    /// A line that exceeds the limit for records; it was skipped.
    TooLong,
    /// The end of the file.
    End,
}

/// Reads the next line into `line`.
///
/// # Errors
/// When it cannot be read, or is longer than [`LINE_BYTES_MAX`].
pub(super) fn next_line(stream: &mut Stream, number: u64, line: &mut Vec<u8>) -> Result<Line, ImportError> {
    line.clear();
    let from = stream.taken_bytes();
    let (mut is_too_long, mut is_at_end) = (false, true);
    loop {
        let bytes = match stream.fill() {
            Ok(bytes) => bytes,
            Err(error) => return Err(stream.error(Some(number), unreadable(&error))),
        };
        if bytes.is_empty() {
            break;
        }
        is_at_end = false;
        let end = memchr::memchr2(b'\n', b'\r', bytes);
        let part = &bytes[..end.unwrap_or(bytes.len())];
        if line.len() + part.len() > RECORD_BYTES_MAX {
            is_too_long = true;
            *line = Vec::new();
        }
        if !is_too_long {
            line.extend_from_slice(part);
        }
        let count = part.len() + usize::from(end.is_some());
        stream.take(count);
        if stream.taken_bytes() - from > LINE_BYTES_MAX {
            let limit = LINE_BYTES_MAX >> 20;
            return Err(stream.error(Some(number), format!("is longer than {limit} MiB: not a file of records")));
        }
        if end.is_some() {
            take_line_feed(stream, number)?;
            break;
        }
    }
    Ok(match (is_at_end, is_too_long) {
        (true, _) => Line::End,
        (false, true) => Line::TooLong,
        (false, false) => Line::Whole,
    })
}

/// Skips the line feed of a CRLF.
fn take_line_feed(stream: &mut Stream, number: u64) -> Result<(), ImportError> {
    if stream.last_byte() != Some(b'\r') {
        return Ok(());
    }
    let is_there = stream.fill().map(|bytes| bytes.first() == Some(&b'\n'));
    if is_there.map_err(|error| stream.error(Some(number), unreadable(&error)))? {
        stream.take(1);
    }
    Ok(())
}
