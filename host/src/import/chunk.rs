//! Turns records into patients or rejects, and collects them in chunks. The store writes each chunk in one transaction.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

use super::columns::Header;
use super::csv::{Quotes, Records};
use super::draft::{Draft, problem};
use super::fhir;
use super::ndjson::{Line, next_line};
use super::stream::Mark;
use super::{ColumnMap, FhirOptions, Format, ImportError, Prefix, RECORD_BYTES_MAX, Stream};
use crate::domain::Problem;
use crate::domain::patient::{Day, Patient};

/// Patients in one chunk: a multiple of the store's rows for each statement.
const PATIENTS_MAX: usize = 2_000;
/// Bytes of records in one chunk, unless one record has more. A chunk must fit a database's largest packet.
const BYTES_MAX: u64 = 4 << 20;
/// Records in one chunk, rejects included.
const RECORDS_MAX: u64 = 20_000;

/// How a file is read.
#[derive(Clone, Debug)]
pub struct Options {
    /// How records are written.
    pub format: Format,
    /// For NDJSON.
    pub fhir: FhirOptions,
    /// For CSV. Its translations of values apply to NDJSON too.
    pub columns: ColumnMap,
    /// For CSV: the character between two fields.
    pub delimiter: u8,
    /// For CSV: how a quote in a quoted field is written.
    pub quotes: Quotes,
    /// The last date that counts as past.
    pub today: Day,
    /// Whether an invalid optional field rejects the whole record.
    pub strict: bool,
    /// Whether a reject keeps its record.
    pub keep_rejected_records: bool,
}

/// A record that was not imported, or not as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Its first line, counted from 1.
    pub line: u64,
    /// Whether the patient was imported without the fields that the problems name.
    pub is_taken: bool,
    /// The reasons; never empty.
    pub problems: Vec<Problem>,
    /// The record itself, if [`Options::keep_rejected_records`] is set.
    pub record: Option<Value>,
}

/// A part of the file.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    /// The patients, each once, in the last state within the chunk.
    pub patients: Vec<Patient>,
    /// Records that were not imported, and those that were imported without some fields.
    pub rejects: Vec<Reject>,
    /// Records that a later one of the same patient replaced.
    pub repeated: u64,
    /// All bytes of the file up to here.
    pub taken: Prefix,
    /// All lines of the file up to here.
    pub lines: u64,
    /// Whether the file ends here.
    pub is_last: bool,
}

impl Chunk {
    /// How many records were rejected, and how many patients lack some fields.
    #[must_use]
    pub fn rejected_and_incomplete(&self) -> (u64, u64) {
        let incomplete = self.rejects.iter().filter(|reject| reject.is_taken).count() as u64;
        (self.rejects.len() as u64 - incomplete, incomplete)
    }
}

/// A file, chunk by chunk.
pub struct Chunks {
    stream: Stream,
    options: Options,
    records: Reading,
    lines: u64,
    /// Records in one chunk, at most.
    records_max: u64,
    /// The error that ends the file. It is returned after the records before it.
    broken: Option<ImportError>,
}

/// The reader of a format.
enum Reading {
    Ndjson { line: Vec<u8> },
    Csv { records: Box<Records>, header: Header },
}

/// One record.
struct Record {
    line: u64,
    outcome: Result<Draft, Vec<Problem>>,
}

impl Chunks {
    /// Opens a file; `-` is stdin. `earlier` is what an earlier run imported, in bytes and lines. If the file still
    /// begins with these bytes, reading begins after them, and [`Chunks::lines`] is not 0.
    ///
    /// # Errors
    /// When the file cannot be read, or a CSV header does not fit.
    pub fn open(file: &Path, options: Options, earlier: Option<(&Prefix, u64)>) -> Result<Self, ImportError> {
        Self::of(&|| Stream::open(file), options, earlier)
    }

    /// As [`Self::open`], with the streams that `open` opens.
    pub(super) fn of(
        open: &dyn Fn() -> Result<Stream, ImportError>,
        options: Options,
        earlier: Option<(&Prefix, u64)>,
    ) -> Result<Self, ImportError> {
        if let Some((prefix, lines)) = earlier.filter(|(prefix, _)| prefix.bytes > 0) {
            let mut stream = open()?;
            if stream.skip(prefix)? {
                let records = match options.format {
                    Format::Ndjson => Reading::Ndjson { line: Vec::new() },
                    Format::Csv => Self::csv(&mut open()?, &options)?.resumed_after(lines),
                };
                return Ok(Self { stream, options, records, lines, records_max: RECORDS_MAX, broken: None });
            }
        }
        let mut stream = open()?;
        stream.take_byte_order_mark()?;
        let records = match options.format {
            Format::Ndjson => Reading::Ndjson { line: Vec::new() },
            Format::Csv => Self::csv(&mut stream, &options)?,
        };
        Ok(Self { stream, options, records, lines: 0, records_max: RECORDS_MAX, broken: None })
    }

    /// The same with smaller chunks.
    pub(super) fn with_records_max(mut self, records_max: u64) -> Self {
        self.records_max = records_max;
        self
    }

    /// How many lines were read.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// The file.
    #[must_use]
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    fn csv(stream: &mut Stream, options: &Options) -> Result<Reading, ImportError> {
        let mut records = Records::new(options.delimiter, options.quotes);
        stream.take_byte_order_mark()?;
        let Some(row) = records.read(stream)? else {
            return Err(stream.error(None, "is empty: a header was expected".to_owned()));
        };
        if let Some(fault) = row.fault {
            return Err(stream.error(Some(row.line), format!("the header: {}", records.message(fault))));
        }
        records.take_as_header();
        let header = options
            .columns
            .header(records.fields())
            .map_err(|problems| stream.error(Some(row.line), problems.join("\n   ")))?;
        Ok(Reading::Csv { records: Box::new(records), header })
    }

    /// Reads the next chunk. Must not be called after the last one.
    ///
    /// # Errors
    /// When the file cannot be read further. Records before the fault were returned by earlier calls.
    pub fn next_chunk(&mut self) -> Result<Chunk, ImportError> {
        if let Some(error) = self.broken.take() {
            return Err(error);
        }
        let mut chunk = Chunk::default();
        let mut places: HashMap<String, usize> = HashMap::new();
        let start = self.stream.taken_bytes();
        let mut count = 0;
        let mut taken: (Mark, u64) = (self.stream.mark(), self.lines);
        while chunk.patients.len() < PATIENTS_MAX
            && self.stream.taken_bytes() - start < BYTES_MAX
            && count < self.records_max
        {
            let record = match self.next_record() {
                Ok(Some(record)) => record,
                Ok(None) => {
                    chunk.is_last = true;
                    taken = (self.stream.mark(), self.lines);
                    break;
                }
                Err(error) if count == 0 => return Err(error),
                Err(error) => {
                    self.broken = Some(error);
                    break;
                }
            };
            count += 1;
            taken = (self.stream.mark(), self.lines);
            match record.outcome.and_then(|draft| self.options.validate(draft)) {
                Ok((patient, left_out)) => {
                    if !left_out.is_empty() {
                        chunk.rejects.push(self.reject(record.line, true, left_out));
                    }
                    if let Some(place) = places.get(patient.patient_id.as_str()) {
                        chunk.patients[*place] = patient;
                        chunk.repeated += 1;
                    } else {
                        places.insert(patient.patient_id.as_str().to_owned(), chunk.patients.len());
                        chunk.patients.push(patient);
                    }
                }
                Err(problems) => chunk.rejects.push(self.reject(record.line, false, problems)),
            }
        }
        chunk.lines = taken.1;
        chunk.taken = taken.0.prefix();
        Ok(chunk)
    }

    fn reject(&self, line: u64, is_taken: bool, problems: Vec<Problem>) -> Reject {
        let record = self.options.keep_rejected_records.then(|| self.records.text());
        Reject { line, is_taken, problems, record }
    }

    fn next_record(&mut self) -> Result<Option<Record>, ImportError> {
        let Self { stream, options, records, lines, records_max: _, broken: _ } = self;
        let blank_from = stream.taken_bytes();
        match records {
            Reading::Ndjson { line } => loop {
                let found = next_line(stream, *lines + 1, line)?;
                if found == Line::End {
                    return Ok(None);
                }
                *lines += 1;
                let outcome = match found {
                    Line::TooLong => Err(vec![problem("record", format!("is longer than {RECORD_BYTES_MAX} bytes"))]),
                    _ if line.trim_ascii().is_empty() => {
                        stream.bound_blanks(*lines, blank_from)?;
                        continue;
                    }
                    _ => fhir::read(line, &options.fhir, options.today).map(|mut draft| {
                        options.columns.translate(&mut draft.patient);
                        draft
                    }),
                };
                return Ok(Some(Record { line: *lines, outcome }));
            },
            Reading::Csv { records, header } => {
                let row = records.read(stream)?;
                *lines = records.lines();
                let Some(row) = row else { return Ok(None) };
                let outcome = match row.fault {
                    Some(fault) => Err(vec![problem("record", records.message(fault))]),
                    None => options.columns.draft(header, records.fields()),
                };
                Ok(Some(Record { line: row.line, outcome }))
            }
        }
    }
}

impl Options {
    /// Validates a draft. Returns the patient and the problems of the fields that were left out.
    fn validate(&self, draft: Draft) -> Result<(Patient, Vec<Problem>), Vec<Problem>> {
        let Draft { patient, mut left_out } = draft;
        let (patient, found) = match patient.validate_leaving_out(self.today) {
            Ok(validated) => validated,
            Err(found) => {
                left_out.extend(found);
                return Err(left_out);
            }
        };
        left_out.extend(found);
        if self.strict && !left_out.is_empty() { Err(left_out) } else { Ok((patient, left_out)) }
    }
}

impl Reading {
    fn resumed_after(mut self, lines: u64) -> Self {
        if let Self::Csv { records, .. } = &mut self {
            records.resume_after(lines);
        }
        self
    }

    /// The last record as it is in the file.
    fn text(&self) -> Value {
        match self {
            Self::Ndjson { line } => String::from_utf8_lossy(line).into_owned().into(),
            Self::Csv { records, .. } => {
                records.fields().map(|field| Value::from(String::from_utf8_lossy(field).into_owned())).collect()
            }
        }
    }
}
