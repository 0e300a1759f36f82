//! Turns lines into patients, clinical records or rejects, and collects them in chunks. The store writes each chunk in
//! one transaction.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::columns::Header;
use super::csv::{Quotes, Records};
use super::draft::{Draft, Problem, problem};
use super::ids::Ids;
use super::kind::Kind;
use super::ndjson::{Line, next_line};
use super::record::{self, Context};
use super::stream::Mark;
use super::{ColumnMap, FhirOptions, Format, ImportError, Prefix, RECORD_BYTES_MAX, Stream, fhir, resource_type};
use crate::domain::clinical::ClinicalRecord;
use crate::domain::ids::AggregateKey;
use crate::domain::patient::{Day, Patient};

/// The most patients or clinical records in one chunk: a multiple of the rows that the store writes per statement.
const AGGREGATES_MAX: usize = 2_000;
/// The most bytes of records in one chunk, except for a single larger record. A chunk must fit a database's largest
/// packet.
const BYTES_MAX: u64 = 4 << 20;
/// The most records in one chunk, including rejects.
const RECORDS_MAX: u64 = 20_000;

/// How a file is read and validated.
#[derive(Clone, Debug)]
pub struct Options {
    /// The format of the file.
    pub format: Format,
    /// The options for FHIR resources in NDJSON.
    pub fhir: FhirOptions,
    /// For NDJSON: the kind of resources to import; others are skipped. `None`: the kind of the first record.
    pub kind: Option<Kind>,
    /// For NDJSON: whether a line that is not a resource becomes a reject. Otherwise it is skipped.
    pub rejects_unreadable: bool,
    /// For NDJSON: the ids that references need.
    pub ids: Arc<Ids>,
    /// The columns of a CSV file. Its translations of values apply to NDJSON too.
    pub columns: ColumnMap,
    /// For CSV: the delimiter between two fields.
    pub delimiter: u8,
    /// For CSV: how a quote inside a quoted field is written.
    pub quotes: Quotes,
    /// The last date that counts as past.
    pub today: Day,
    /// Whether an invalid optional field rejects the whole record.
    pub strict: bool,
    /// Whether the report of a reject contains its record.
    pub keep_rejected_records: bool,
}

/// A record that was not imported, or imported without some fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Its first line, counted from 1.
    pub line: u64,
    /// Whether the record was imported without the fields that the problems name.
    pub is_taken: bool,
    /// The reasons; never empty.
    pub problems: Vec<Problem>,
    /// The record itself, if [`Options::keep_rejected_records`] is set.
    pub record: Option<Value>,
}

/// A part of the file.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    /// The kind of the records, once it is known.
    pub kind: Option<Kind>,
    /// The patients. Each appears once, with its last state in the chunk.
    pub patients: Vec<Patient>,
    /// The clinical records. Each appears once, with its last state in the chunk.
    pub records: Vec<ClinicalRecord>,
    /// The first line of each of `records`, in the same order.
    pub record_lines: Vec<u64>,
    /// Lines that were not imported, and those that were imported without some fields.
    pub rejects: Vec<Reject>,
    /// The number of lines that a later line of the same patient or clinical record replaced.
    pub repeated: u64,
    /// The number of resources of other kinds, by type.
    pub passed_over: BTreeMap<&'static str, u64>,
    /// All bytes of the file up to the end of this chunk.
    pub taken: Prefix,
    /// The number of lines up to the end of this chunk.
    pub lines: u64,
    /// Whether this chunk is the last one.
    pub is_last: bool,
}

impl Chunk {
    /// The number of rejected lines, and of lines that were imported without some fields.
    #[must_use]
    pub fn rejected_and_incomplete(&self) -> (u64, u64) {
        let incomplete = self.rejects.iter().filter(|reject| reject.is_taken).count() as u64;
        (self.rejects.len() as u64 - incomplete, incomplete)
    }

    fn is_full(&self) -> bool {
        self.patients.len() + self.records.len() >= AGGREGATES_MAX
    }

    fn add_patient(&mut self, places: &mut HashMap<AggregateKey, usize>, patient: Patient) {
        let key = AggregateKey::patient(patient.patient_id.as_str());
        if let Some(place) = places.get(&key) {
            self.patients[*place] = patient;
            self.repeated += 1;
        } else {
            places.insert(key, self.patients.len());
            self.patients.push(patient);
        }
    }

    fn add_record(&mut self, places: &mut HashMap<AggregateKey, usize>, record: ClinicalRecord, line: u64) {
        if let Some(place) = places.get(record.key()) {
            self.records[*place] = record;
            self.record_lines[*place] = line;
            self.repeated += 1;
        } else {
            places.insert(record.key().clone(), self.records.len());
            self.records.push(record);
            self.record_lines.push(line);
        }
    }

    /// Turns a record that the store refuses into a reject. `false` when it is not in this chunk.
    pub fn reject(&mut self, key: &AggregateKey, problem: impl Into<Problem>, keep_record: bool) -> bool {
        let Some(place) = self.records.iter().position(|record| record.key() == key) else { return false };
        let (record, line) = (self.records.remove(place), self.record_lines.remove(place));
        // An earlier step may have reported it as imported without some fields.
        let noted = self.rejects.iter().position(|reject| reject.line == line);
        let left_out = noted.map(|index| self.rejects.remove(index).problems).unwrap_or_default();
        let problems = left_out.into_iter().chain([problem.into()]).collect();
        let record = keep_record.then(|| record.payload().into());
        self.rejects.push(Reject { line, is_taken: false, problems, record });
        self.rejects.sort_by_key(|reject| reject.line);
        true
    }
}

/// Reads a file chunk by chunk.
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

/// One record of the file.
struct Record {
    line: u64,
    outcome: Result<Content, Vec<Problem>>,
}

/// The content of a record.
enum Content {
    Patient(Box<Draft>),
    /// A clinical record, with the problems of the fields that were left out.
    Clinical(Box<ClinicalRecord>, Vec<Problem>),
    /// A resource of another kind, or a line that is rejected in another part of the import.
    PassedOver(Option<&'static str>),
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

    /// As [`Self::open`], with a function that opens the stream.
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

    /// Sets the maximum number of records in one chunk.
    pub(super) fn with_records_max(mut self, records_max: u64) -> Self {
        self.records_max = records_max;
        self
    }

    /// The number of lines read so far.
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
        let mut places = HashMap::new();
        let start = self.stream.taken_bytes();
        let mut count = 0;
        let mut taken: (Mark, u64) = (self.stream.mark(), self.lines);
        while !chunk.is_full() && self.stream.taken_bytes() - start < BYTES_MAX && count < self.records_max {
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
            self.add(&mut chunk, &mut places, record);
        }
        chunk.kind = self.options.kind;
        chunk.lines = taken.1;
        chunk.taken = taken.0.prefix();
        Ok(chunk)
    }

    fn add(&self, chunk: &mut Chunk, places: &mut HashMap<AggregateKey, usize>, record: Record) {
        let line = record.line;
        let left_out = match record.outcome {
            Ok(Content::Patient(draft)) => self.options.validate(*draft).map(|(patient, left_out)| {
                chunk.add_patient(places, patient);
                left_out
            }),
            Ok(Content::Clinical(_, left_out)) if self.options.strict && !left_out.is_empty() => Err(left_out),
            Ok(Content::Clinical(record, left_out)) => {
                chunk.add_record(places, *record, line);
                Ok(left_out)
            }
            Ok(Content::PassedOver(name)) => {
                if let Some(name) = name {
                    *chunk.passed_over.entry(name).or_default() += 1;
                }
                return;
            }
            Err(problems) => Err(problems),
        };
        match left_out {
            Ok(left_out) if left_out.is_empty() => {}
            Ok(left_out) => chunk.rejects.push(self.reject(line, true, left_out)),
            Err(problems) => chunk.rejects.push(self.reject(line, false, problems)),
        }
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
                if found == Line::Whole && line.trim_ascii().is_empty() {
                    stream.bound_blanks(*lines, blank_from)?;
                    continue;
                }
                let outcome = options.read_line((found == Line::Whole).then_some(line.as_slice()));
                return Ok(Some(Record { line: *lines, outcome }));
            },
            Reading::Csv { records, header } => {
                let row = records.read(stream)?;
                *lines = records.lines();
                let Some(row) = row else { return Ok(None) };
                let outcome = match row.fault {
                    Some(fault) => Err(vec![problem("record", records.message(fault))]),
                    None => {
                        options.columns.draft(header, records.fields()).map(|draft| Content::Patient(Box::new(draft)))
                    }
                };
                Ok(Some(Record { line: row.line, outcome }))
            }
        }
    }
}

impl Options {
    /// Reads a line with a resource; `None` for one that is too long.
    fn read_line(&mut self, line: Option<&[u8]>) -> Result<Content, Vec<Problem>> {
        let named = match line {
            Some(line) => resource_type::of_line(line),
            None => Err(problem("record", format!("is longer than {RECORD_BYTES_MAX} bytes"))),
        };
        let (line, name) = match (line, named) {
            (Some(line), Ok(name)) => (line, name),
            (_, Err(found)) if self.rejects_unreadable => return Err(vec![found]),
            _ => return Ok(Content::PassedOver(None)),
        };
        let kind = Kind::of(name, self.fhir.other_types);
        if self.kind.is_none() {
            self.kind = kind;
        }
        match kind.filter(|_| kind == self.kind) {
            None => Ok(Content::PassedOver(Some(name))),
            Some(Kind::Patient) => fhir::read(line, &self.fhir, self.today).map(|mut draft| {
                self.columns.translate(&mut draft.patient);
                Content::Patient(Box::new(draft))
            }),
            Some(kind) => {
                let context = Context { options: &self.fhir, ids: &self.ids, today: self.today };
                let read = record::read(line, name, kind, &context);
                read.map(|(record, left_out)| Content::Clinical(Box::new(record), left_out))
            }
        }
    }

    /// Validates a draft. Returns the patient and the problems of the fields that were left out.
    fn validate(&self, draft: Draft) -> Result<(Patient, Vec<Problem>), Vec<Problem>> {
        let Draft { patient, mut left_out } = draft;
        let (patient, found) = match patient.validate_leaving_out(self.today) {
            Ok(validated) => validated,
            Err(found) => {
                left_out.extend(found.into_iter().map(Problem::from));
                return Err(left_out);
            }
        };
        left_out.extend(found.into_iter().map(Problem::from));
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

    /// The text of the last record.
    fn text(&self) -> Value {
        match self {
            Self::Ndjson { line } => String::from_utf8_lossy(line).into_owned().into(),
            Self::Csv { records, .. } => {
                records.fields().map(|field| Value::from(String::from_utf8_lossy(field).into_owned())).collect()
            }
        }
    }
}
