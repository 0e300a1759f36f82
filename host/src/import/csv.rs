//! Reads the records of a CSV stream (RFC 4180) one at a time, up to a maximum length.
//!
//! Quotes are checked strictly. An unclosed quote hides every record after it, so a fault that a lenient parser would
//! repair is an error here. One state machine both parses and checks. Lines end with LF, CRLF or CR alone.

use super::stream::{Stream, unreadable};
use super::{ImportError, RECORD_BYTES_MAX};

const FIELDS_MAX: usize = 4_096;

/// How a quote inside a quoted field is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quotes {
    /// As two quotes, by RFC 4180.
    #[default]
    Doubled,
    /// After a backslash or as two quotes, as MySQL's `SELECT ... INTO OUTFILE` writes it. A backslash itself is
    /// written twice.
    Backslash,
    /// A quote is a character like any other, as in many tab-separated files.
    None,
}

/// The position and validity of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// The line on which it begins.
    pub(super) line: u64,
    /// The fault of its quotes, if any. The fields are then unreliable.
    pub(super) fault: Option<Fault>,
}

/// A fault in the quotes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    TextBehindQuote,
    QuoteInField,
    /// A field contains line breaks, and one of its lines looks like a whole record.
    RecordInField,
}

impl Fault {
    /// The problem, as a lower-case fragment.
    fn message(self) -> &'static str {
        match self {
            Self::TextBehindQuote => "text follows a closing quote; a quote inside a quoted cell is written twice",
            Self::QuoteInField => "a quote is inside a cell that does not begin with one",
            Self::RecordInField => "a line inside one cell looks like a record of its own",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    FieldStart,
    Bare,
    Quoted,
    Escaped,
    /// After a quote in a quoted field: either the field ends, or the next quote doubles it.
    BehindQuote,
}

/// Reads records, and holds the current one.
pub(super) struct Records {
    delimiter: u8,
    quotes: Quotes,
    text: Vec<u8>,
    ends: Vec<usize>,
    /// Line ends read so far.
    lines: u64,
    /// The number of fields in the header, once it is read.
    columns: usize,
    state: State,
    fault: Option<Fault>,
    /// The number of delimiters on the current line, and how many of them are inside quotes.
    line_delimiters: usize,
    quoted_delimiters: usize,
    is_first_line: bool,
    is_behind_cr: bool,
    /// The previous byte.
    before: u8,
    /// Whether this record contains a quote after a backslash.
    has_escaped_quote: bool,
}

impl Records {
    pub(super) fn new(delimiter: u8, quotes: Quotes) -> Self {
        Self {
            delimiter,
            quotes,
            text: Vec::new(),
            ends: Vec::new(),
            lines: 0,
            columns: usize::MAX,
            state: State::FieldStart,
            fault: None,
            line_delimiters: 0,
            quoted_delimiters: 0,
            is_first_line: true,
            is_behind_cr: false,
            before: 0,
            has_escaped_quote: false,
        }
    }

    /// The number of lines read so far, including those of an earlier run.
    pub(super) fn lines(&self) -> u64 {
        self.lines
    }

    /// Uses the last record as the header.
    pub(super) fn take_as_header(&mut self) {
        self.columns = self.ends.len();
    }

    /// Continues after `lines` lines that an earlier run read.
    pub(super) fn resume_after(&mut self, lines: u64) {
        self.lines = lines;
    }

    /// Reads the next record; `None` at the end.
    ///
    /// # Errors
    /// When the stream cannot be read, the record is too long, or its end is ambiguous.
    pub(super) fn read(&mut self, stream: &mut Stream) -> Result<Option<Row>, ImportError> {
        if !self.pass_blank_lines(stream)? {
            return Ok(None);
        }
        let line = self.lines + 1;
        self.begin();
        loop {
            let input = match stream.fill() {
                Ok(bytes) => bytes,
                Err(error) => return Err(stream.error(Some(line), unreadable(&error))),
            };
            if input.is_empty() {
                if matches!(self.state, State::Quoted | State::Escaped) {
                    let message = "a quote is opened in the record that begins here, and never closed";
                    return Err(stream.error(Some(line), format!("{message}; fix: {}", self.fix())));
                }
                self.end_field();
                return self.row(stream, line).map(Some);
            }
            let end = input.iter().position(|byte| self.step(*byte));
            let taken = end.map_or(input.len(), |end| end + 1);
            stream.take(taken);
            if self.text.len() > RECORD_BYTES_MAX {
                return Err(too_long(stream, line, &format!("{RECORD_BYTES_MAX} bytes")));
            }
            if self.ends.len() > FIELDS_MAX {
                return Err(too_long(stream, line, &format!("{FIELDS_MAX} columns")));
            }
            if end.is_some() {
                take_line_feed(stream, line)?;
                return self.row(stream, line).map(Some);
            }
        }
    }

    /// The fields of the last record.
    pub(super) fn fields(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.ends.iter().enumerate().map(|(index, end)| {
            let start = if index == 0 { 0 } else { self.ends[index - 1] };
            &self.text[start..*end]
        })
    }

    /// The fault of the last record's quotes, with a fix.
    pub(super) fn message(&self, fault: Fault) -> String {
        format!("{}; fix: {}", fault.message(), self.fix())
    }

    /// The fix for a fault in the quotes of the last record.
    fn fix(&self) -> &'static str {
        if self.quotes == Quotes::Doubled && self.has_escaped_quote {
            "add --quotes backslash, since a quote follows a backslash"
        } else {
            "correct the quotes, or add --quotes none if a quote is a character like any other in this file"
        }
    }

    fn begin(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.state = State::FieldStart;
        self.fault = None;
        (self.line_delimiters, self.quoted_delimiters) = (0, 0);
        (self.is_first_line, self.is_behind_cr) = (true, false);
        (self.before, self.has_escaped_quote) = (0, false);
    }

    /// Processes one byte; `true` when it ends the record.
    fn step(&mut self, byte: u8) -> bool {
        let is_quote = byte == b'"' && self.quotes != Quotes::None;
        self.has_escaped_quote |= is_quote && self.before == b'\\';
        self.before = byte;
        match self.state {
            State::Quoted | State::Escaped => {
                self.step_quoted(byte, is_quote);
                return false;
            }
            State::BehindQuote if is_quote => {
                self.text.push(byte);
                self.state = State::Quoted;
            }
            State::FieldStart if is_quote => self.state = State::Quoted,
            _ if byte == self.delimiter => {
                self.line_delimiters += 1;
                self.end_field();
            }
            _ if byte == b'\n' || byte == b'\r' => {
                self.end_field();
                return true;
            }
            State::BehindQuote => {
                self.note(Fault::TextBehindQuote);
                self.text.push(byte);
                self.state = State::Bare;
            }
            State::FieldStart | State::Bare => {
                if is_quote {
                    self.note(Fault::QuoteInField);
                }
                self.text.push(byte);
                self.state = State::Bare;
            }
        }
        false
    }

    fn step_quoted(&mut self, byte: u8, is_quote: bool) {
        if byte == b'\n' || byte == b'\r' {
            self.count_line_break(byte);
        } else {
            self.is_behind_cr = false;
        }
        if byte == self.delimiter {
            self.line_delimiters += 1;
            self.quoted_delimiters += 1;
        }
        match self.state {
            State::Quoted if is_quote => self.state = State::BehindQuote,
            State::Quoted if byte == b'\\' && self.quotes == Quotes::Backslash => self.state = State::Escaped,
            _ => {
                self.text.push(byte);
                self.state = State::Quoted;
            }
        }
    }

    /// Counts a line end within a field. A carriage return with its line feed is one line end.
    fn count_line_break(&mut self, byte: u8) {
        if byte == b'\n' && self.is_behind_cr {
            self.is_behind_cr = false;
            return;
        }
        self.is_behind_cr = byte == b'\r';
        self.lines += 1;
        self.end_line();
    }

    fn end_line(&mut self) {
        // A field may begin before this line and end on it, so delimiters inside and outside quotes both count.
        let looks_like_a_record = self.line_delimiters >= self.columns.saturating_sub(1) && self.quoted_delimiters > 0;
        // The first line of a record has delimiters of its own in addition to those of a multi-line cell. If all
        // delimiters are inside quotes, the cell is the first one and contains a whole record.
        let is_in_one_cell = self.quoted_delimiters == self.line_delimiters;
        if looks_like_a_record && (!self.is_first_line || is_in_one_cell) {
            self.note(Fault::RecordInField);
        }
        self.is_first_line = false;
        (self.line_delimiters, self.quoted_delimiters) = (0, 0);
    }

    fn end_field(&mut self) {
        self.ends.push(self.text.len());
        self.state = State::FieldStart;
    }

    fn note(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }

    /// The record that begins on `line` and has just ended.
    fn row(&mut self, stream: &Stream, line: u64) -> Result<Row, ImportError> {
        let has_one_line = self.is_first_line;
        self.end_line();
        self.lines += 1;
        match self.fault {
            // A quote may be missing somewhere in these lines, so the number of records is unknown.
            Some(fault) if !has_one_line => {
                let message = format!(
                    "the record that begins here reaches to line {}, since a quote is open: {}",
                    self.lines,
                    self.message(fault)
                );
                Err(stream.error(Some(line), message))
            }
            fault => Ok(Row { line, fault }),
        }
    }

    /// Skips blank lines. `false` at the end of the file.
    fn pass_blank_lines(&mut self, stream: &mut Stream) -> Result<bool, ImportError> {
        let mut is_behind_cr = false;
        let blank_from = stream.taken_bytes();
        loop {
            stream.bound_blanks(self.lines, blank_from)?;
            let next = match stream.fill() {
                Ok(bytes) => bytes.first().copied(),
                Err(error) => return Err(stream.error(Some(self.lines + 1), unreadable(&error))),
            };
            match next {
                Some(b'\n') if is_behind_cr => is_behind_cr = false,
                Some(byte @ (b'\n' | b'\r')) => {
                    self.lines += 1;
                    is_behind_cr = byte == b'\r';
                }
                next => return Ok(next.is_some()),
            }
            stream.take(1);
        }
    }
}

/// Skips the line feed of a CRLF, so that a record ends with its whole line.
fn take_line_feed(stream: &mut Stream, line: u64) -> Result<(), ImportError> {
    if stream.last_byte() != Some(b'\r') {
        return Ok(());
    }
    match stream.fill() {
        Ok(bytes) if bytes.first() == Some(&b'\n') => {
            stream.take(1);
            Ok(())
        }
        Ok(_) => Ok(()),
        Err(error) => Err(stream.error(Some(line), unreadable(&error))),
    }
}

fn too_long(stream: &Stream, line: u64, limit: &str) -> ImportError {
    let fix = "a quote may not be closed, or --delimiter is wrong";
    stream.error(Some(line), format!("the record that begins here has more than {limit}: {fix}"))
}
