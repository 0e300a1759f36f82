//! Records of a CSV stream, one at a time, none longer than the limit.
//!
//! The state machine is csv-core's; it is fed from the stream itself, so that exactly the bytes of a record are taken.

use csv_core::ReadRecordResult;

use super::stream::{Stream, unreadable};
use super::{ImportError, RECORD_BYTES_MAX};

const FIELDS_MAX: usize = 4_096;

/// Reads records; holds the one that was read last.
pub(super) struct Records {
    core: csv_core::Reader,
    text: Vec<u8>,
    ends: Vec<usize>,
    fields: usize,
    /// Line feeds taken so far.
    line_feeds: u64,
}

impl Records {
    pub(super) fn new(delimiter: u8) -> Self {
        let core = csv_core::ReaderBuilder::new().delimiter(delimiter).build();
        Self { core, text: vec![0; 4_096], ends: vec![0; 256], fields: 0, line_feeds: 0 }
    }

    /// Lines taken so far, when `before` were taken by another run.
    pub(super) fn lines(&self) -> u64 {
        self.line_feeds
    }

    /// Goes on behind `lines` lines that were taken before.
    pub(super) fn go_on_behind(&mut self, lines: u64) {
        self.core.reset();
        self.line_feeds = lines;
    }

    /// Reads the next record, and gives the line that it begins on; `None` at the end.
    pub(super) fn read(&mut self, stream: &mut Stream) -> Result<Option<u64>, ImportError> {
        self.pass_blank_lines(stream)?;
        let line = self.line_feeds + 1;
        let (mut length, mut fields) = (0, 0);
        loop {
            let input = match stream.fill() {
                Ok(bytes) => bytes,
                Err(error) => return Err(stream.error(Some(line), unreadable(&error))),
            };
            let (result, taken, written, ended) =
                self.core.read_record(input, &mut self.text[length..], &mut self.ends[fields..]);
            self.line_feeds += memchr::memchr_iter(b'\n', &input[..taken]).count() as u64;
            stream.take(taken);
            length += written;
            fields += ended;
            let is_too_long = |what: &str| {
                let mend = "a quote may not be closed, or --delimiter is wrong";
                stream.error(Some(line), format!("the record that begins here has more than {what}: {mend}"))
            };
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if length >= RECORD_BYTES_MAX => {
                    return Err(is_too_long(&format!("{RECORD_BYTES_MAX} bytes")));
                }
                ReadRecordResult::OutputFull => self.text.resize(self.text.len() * 2, 0),
                ReadRecordResult::OutputEndsFull if fields >= FIELDS_MAX => {
                    return Err(is_too_long(&format!("{FIELDS_MAX} columns")));
                }
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record => {
                    self.fields = fields;
                    self.take_line_feed(stream, line)?;
                    return Ok(Some(line));
                }
                ReadRecordResult::End => return Ok(None),
            }
        }
    }

    /// The fields of the last record.
    pub(super) fn fields(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.fields).map(|index| {
            let start = if index == 0 { 0 } else { self.ends[index - 1] };
            &self.text[start..self.ends[index]]
        })
    }

    /// The state machine would pass over them too, but then nobody knew on which line the record began.
    fn pass_blank_lines(&mut self, stream: &mut Stream) -> Result<(), ImportError> {
        loop {
            let next = match stream.fill() {
                Ok(bytes) => bytes.first().copied(),
                Err(error) => return Err(stream.error(Some(self.line_feeds + 1), unreadable(&error))),
            };
            match next {
                Some(b'\n') => self.line_feeds += 1,
                Some(b'\r') => {}
                _ => return Ok(()),
            }
            stream.take(1);
        }
    }

    /// A record ends with its whole line, also where that ends with two characters.
    fn take_line_feed(&mut self, stream: &mut Stream, line: u64) -> Result<(), ImportError> {
        if stream.last_byte() != Some(b'\r') {
            return Ok(());
        }
        match stream.fill() {
            Ok(bytes) if bytes.first() == Some(&b'\n') => {
                stream.take(1);
                self.line_feeds += 1;
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(error) => Err(stream.error(Some(line), unreadable(&error))),
        }
    }
}
