//! A line without an end is refused at a limit, and reading stops.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// A single endless line, which counts the bytes read of it.
struct Endless(Arc<AtomicUsize>);

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(self.0.fetch_add(buffer.len(), Ordering::Relaxed) < 1 << 28, "it is read on and on");
        buffer.fill(b'x');
        Ok(buffer.len())
    }
}

#[test]
fn hostile_line_without_end_is_not_read_on() {
    for (format, words) in [
        (Format::Ndjson, "endless:1: is longer than 16 MiB: not a file of records"),
        (Format::Csv, "endless:1: the record that begins here has more than 8388608 bytes"),
    ] {
        let read = Arc::new(AtomicUsize::new(0));
        let open = || Stream::new(Path::new("endless"), Endless(Arc::clone(&read)), None);
        let error = Chunks::of(&open, options(format), None).and_then(|mut chunks| chunks.next_chunk()).err().unwrap();
        assert_eq!(error.line, Some(1), "{format:?}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(read.load(Ordering::Relaxed) < 18 << 20, "{format:?}: {read:?}");
    }
}
