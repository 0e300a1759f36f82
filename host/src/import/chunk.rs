//! Records become patients or rejects, and patients become chunks: what one transaction takes.

use std::collections::HashMap;
use std::path::Path;

use jiff::civil::Date;
use serde_json::Value;

use super::columns::Header;
use super::csv::Records;
use super::fhir;
use super::ndjson::{Line, next_line};
use super::{ColumnMap, FhirOptions, Format, ImportError, Prefix, RECORD_BYTES_MAX, Stream};
use crate::domain::Problem;
use crate::domain::patient::{Patient, PatientDraft};

/// Patients in one chunk: whole blocks of rows for the store.
const PATIENTS_MAX: usize = 2_000;
/// Bytes of records in one chunk, unless one record has more: what it becomes must fit a database's largest packet.
const BYTES_MAX: u64 = 4 << 20;
/// Records in one chunk, whatever became of them.
const RECORDS_MAX: u64 = 20_000;

/// What is read, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// How records are written.
    pub format: Format,
    /// For NDJSON.
    pub fhir: FhirOptions,
    /// For CSV.
    pub columns: ColumnMap,
    /// For CSV: what stands between two fields.
    pub delimiter: u8,
    /// The last date that counts as past.
    pub today: Date,
    /// Whether a reject keeps its record.
    pub keep_rejected_records: bool,
}

/// A record that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Its first line, counted from 1.
    pub line: u64,
    /// Why; never empty.
    pub problems: Vec<Problem>,
    /// The record itself, where it was asked for.
    pub record: Option<Value>,
}

/// A part of the file.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    /// Patients, each once, in its last state within the chunk.
    pub patients: Vec<Patient>,
    /// Records that cannot be taken.
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

/// A file, chunk by chunk.
pub struct Chunks {
    stream: Stream,
    options: Options,
    records: Reading,
    lines: u64,
}

/// What each format remembers between two records.
enum Reading {
    Ndjson { line: Vec<u8> },
    Csv { records: Box<Records>, header: Header },
}

/// One record.
struct Record {
    line: u64,
    outcome: Result<PatientDraft, Vec<Problem>>,
}

impl Chunks {
    /// Opens a file; `-` is stdin. With `earlier`, what an earlier run took (bytes and lines), it goes on behind that, if
    /// these are still the same bytes; [`Chunks::lines`] tells.
    ///
    /// # Errors
    /// When the file cannot be read, or a CSV header does not fit.
    pub fn open(file: &Path, options: Options, earlier: Option<(&Prefix, u64)>) -> Result<Self, ImportError> {
        if let Some((prefix, lines)) = earlier.filter(|(prefix, _)| prefix.bytes > 0) {
            let mut stream = Stream::open(file)?;
            if stream.skip(prefix)? {
                let records = match options.format {
                    Format::Ndjson => Reading::Ndjson { line: Vec::new() },
                    Format::Csv => Self::csv(&mut Stream::open(file)?, &options)?.going_on_behind(lines),
                };
                return Ok(Self { stream, options, records, lines });
            }
        }
        let mut stream = Stream::open(file)?;
        stream.take_byte_order_mark()?;
        let records = match options.format {
            Format::Ndjson => Reading::Ndjson { line: Vec::new() },
            Format::Csv => Self::csv(&mut stream, &options)?,
        };
        Ok(Self { stream, options, records, lines: 0 })
    }

    /// Lines that are behind.
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
        let mut records = Records::new(options.delimiter);
        stream.take_byte_order_mark()?;
        let Some(line) = records.read(stream)? else {
            return Err(stream.error(None, "is empty: a header was expected".to_owned()));
        };
        let header = options
            .columns
            .header(records.fields())
            .map_err(|problems| stream.error(Some(line), problems.join("\n   ")))?;
        Ok(Reading::Csv { records: Box::new(records), header })
    }

    /// The next chunk; after the last one there is none.
    ///
    /// # Errors
    /// When the file cannot be read on.
    pub fn next_chunk(&mut self) -> Result<Chunk, ImportError> {
        let mut chunk = Chunk::default();
        let mut places: HashMap<String, usize> = HashMap::new();
        let start = self.stream.taken_bytes();
        let mut count = 0;
        while chunk.patients.len() < PATIENTS_MAX
            && self.stream.taken_bytes() - start < BYTES_MAX
            && count < RECORDS_MAX
        {
            let Some(record) = self.next_record()? else {
                chunk.is_last = true;
                break;
            };
            count += 1;
            match record.outcome.and_then(|draft| draft.validate(self.options.today)) {
                Ok(patient) => {
                    if let Some(place) = places.get(patient.patient_id.as_str()) {
                        chunk.patients[*place] = patient;
                        chunk.repeated += 1;
                    } else {
                        places.insert(patient.patient_id.as_str().to_owned(), chunk.patients.len());
                        chunk.patients.push(patient);
                    }
                }
                Err(problems) => {
                    let record_text = self.options.keep_rejected_records.then(|| self.records.text());
                    chunk.rejects.push(Reject { line: record.line, problems, record: record_text });
                }
            }
        }
        chunk.taken = self.stream.taken();
        chunk.lines = self.lines;
        Ok(chunk)
    }

    fn next_record(&mut self) -> Result<Option<Record>, ImportError> {
        let Self { stream, options, records, lines } = self;
        match records {
            Reading::Ndjson { line } => loop {
                let found = next_line(stream, *lines + 1, line)?;
                if found == Line::End {
                    return Ok(None);
                }
                *lines += 1;
                let outcome = match found {
                    Line::TooLong => {
                        Err(vec![fhir::problem("record", format!("is longer than {RECORD_BYTES_MAX} bytes"))])
                    }
                    _ if line.trim_ascii().is_empty() => continue,
                    _ => fhir::read(line, &options.fhir),
                };
                return Ok(Some(Record { line: *lines, outcome }));
            },
            Reading::Csv { records, header } => {
                let line = records.read(stream)?;
                *lines = records.lines();
                let Some(line) = line else { return Ok(None) };
                let outcome = options.columns.draft(header, records.fields());
                let outcome = outcome.map_err(|message| vec![fhir::problem("record", message)]);
                Ok(Some(Record { line, outcome }))
            }
        }
    }
}

impl Reading {
    fn going_on_behind(mut self, lines: u64) -> Self {
        if let Self::Csv { records, .. } = &mut self {
            records.go_on_behind(lines);
        }
        self
    }

    /// The last record as it stood in the file.
    fn text(&self) -> Value {
        match self {
            Self::Ndjson { line } => String::from_utf8_lossy(line).into_owned().into(),
            Self::Csv { records, .. } => {
                records.fields().map(|field| Value::from(String::from_utf8_lossy(field).into_owned())).collect()
            }
        }
    }
}
