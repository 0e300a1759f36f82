//! A file of an export: each record is counted once, as taken, replaced, passed over or refused, however it comes in
//! pieces, however it is cut into chunks, and wherever a killed import goes on. No reason repeats a value.
//!
//! Input: a byte of choices (format, quotes, delimiter, strictness), one for the size of the pieces, one for that of
//! the chunks; the file.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use host::domain::patient::{Day, Patient};
use host::import::fuzzing::chunks;
use host::import::{Chunk, ColumnMap, FhirOptions, Format, ImportError, Kind, Options, Prefix, Quotes, Reject};

use crate::said::{assert_unmarked, is_marked, within};

/// What an import came to, without what depends on its chunks.
#[derive(Debug, Default, PartialEq)]
struct Whole {
    /// The last state of each patient or record, by its key.
    patients: BTreeMap<String, String>,
    /// Records that were taken or passed over, those that a later one replaced too.
    taken: u64,
    rejects: Vec<Reject>,
    lines: u64,
    bytes: u64,
    error: Option<(Option<u64>, String)>,
}

impl Whole {
    fn add(&mut self, chunk: Chunk) {
        let passed_over: u64 = chunk.passed_over.values().sum();
        self.taken += (chunk.patients.len() + chunk.records.len()) as u64 + chunk.repeated + passed_over;
        for record in &chunk.records {
            self.patients.insert(record.key().to_string(), record.payload());
        }
        for patient in &chunk.patients {
            assert_eq!(
                Patient::from_payload(&patient.payload(), today()).ok().as_ref(),
                Some(patient),
                "the payload is another patient"
            );
            self.patients.insert(patient.patient_id.as_str().to_owned(), patient.payload());
        }
        self.rejects.extend(chunk.rejects);
        (self.lines, self.bytes) = (chunk.lines, chunk.taken.bytes);
    }

    fn message(&self) -> Option<&str> {
        self.error.as_ref().map(|(_, message)| message.as_str())
    }

    /// Whether the packed file is damaged.
    fn is_damaged(&self) -> bool {
        self.message().is_some_and(|message| message.starts_with("cannot be read"))
    }

    /// Records that were counted.
    fn records(&self) -> u64 {
        self.taken + self.rejects.iter().filter(|reject| !reject.is_taken).count() as u64
    }
}

/// How a file is read.
struct Reading<'a> {
    file: &'a [u8],
    options: Options,
}

impl Reading<'_> {
    /// Reads on to the end, from an earlier run's end if there is one. Gives the ends of all chunks too.
    fn run(
        &self,
        piece: usize,
        records_max: u64,
        mut whole: Whole,
        from: Option<&(Prefix, u64)>,
    ) -> (Whole, Vec<(Prefix, u64)>) {
        let mut ends = Vec::new();
        let fail = |whole: &mut Whole, error: ImportError| whole.error = Some((error.line, error.message));
        let earlier = from.map(|(prefix, lines)| (prefix, *lines));
        let mut read = match chunks(self.file, piece, records_max, self.options.clone(), earlier) {
            Ok(read) => read,
            Err(error) => {
                fail(&mut whole, error);
                return (whole, ends);
            }
        };
        assert_eq!(read.lines(), from.map_or(0, |(_, lines)| *lines), "the same bytes are not recognised");
        loop {
            match read.next_chunk() {
                Ok(chunk) => {
                    let is_last = chunk.is_last;
                    ends.push((chunk.taken.clone(), chunk.lines));
                    whole.add(chunk);
                    if is_last {
                        return (whole, ends);
                    }
                }
                Err(error) => {
                    fail(&mut whole, error);
                    return (whole, ends);
                }
            }
        }
    }
}

/// See the module.
pub fn check(data: &[u8]) {
    let [choice, piece, records_max, file @ ..] = data else { return };
    let reading = Reading { file, options: options(*choice) };
    let (piece, records_max) = (usize::from(*piece).max(1), u64::from(*records_max).max(1));
    within(Duration::from_secs(5), || {
        let (whole, _) = reading.run(usize::MAX, u64::MAX, Whole::default(), None);
        assert_said(&whole, file);
        assert_counted(&whole, &reading);
        let (cut, ends) = reading.run(piece, records_max, Whole::default(), None);
        if whole.is_damaged() || cut.is_damaged() {
            // How much is unpacked before the damage is noticed depends on the pieces, so that something before it may
            // be refused first. That the file is refused does not.
            assert!(cut.error.is_some() && whole.error.is_some(), "{:?}, {:?}", cut.message(), whole.message());
            return;
        }
        assert_eq!(cut, whole, "in pieces of {piece} bytes and chunks of {records_max} records");
        assert_goes_on(&reading, &whole, &ends, piece);
    });
}

/// An import that was killed behind any chunk goes on there, and comes to the same.
fn assert_goes_on(reading: &Reading<'_>, whole: &Whole, ends: &[(Prefix, u64)], piece: usize) {
    let Some(end) = ends.get(ends.len() / 2).filter(|(prefix, _)| prefix.bytes > 0) else { return };
    // The first part again, up to that very end.
    let mut first = Whole::default();
    let Ok(mut read) = chunks(reading.file, piece, 1, reading.options.clone(), None) else { return };
    while first.bytes < end.0.bytes {
        match read.next_chunk() {
            Ok(chunk) => first.add(chunk),
            Err(_) => return,
        }
    }
    if first.bytes == end.0.bytes {
        let (resumed, _) = reading.run(piece, 3, first, Some(end));
        assert_eq!(&resumed, whole, "gone on behind {} bytes", end.0.bytes);
    }
}

fn assert_said(whole: &Whole, file: &[u8]) {
    let is_marked = is_marked(file);
    let problems = whole.rejects.iter().flat_map(|reject| &reject.problems);
    let said: Vec<&str> = problems.flat_map(|problem| [&*problem.field, problem.message.as_str()]).collect();
    for text in said.into_iter().chain(whole.error.as_ref().map(|(_, message)| message.as_str())) {
        assert!(text.len() <= 4_000 && !text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        if is_marked {
            assert_unmarked(text);
        }
    }
    assert!(whole.rejects.iter().all(|reject| !reject.problems.is_empty()), "refused without a reason");
}

/// Counts the records by their lines alone, where that can be done.
fn assert_counted(whole: &Whole, reading: &Reading<'_>) {
    let file = reading.file.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(reading.file);
    let is_packed = reading.file.starts_with(&[0x1F, 0x8B]);
    if is_packed || whole.error.is_some() {
        return;
    }
    let lines = file.split(|byte| matches!(byte, b'\n' | b'\r'));
    let expected = match reading.options.format {
        Format::Ndjson => lines.filter(|line| !line.trim_ascii().is_empty()).count(),
        Format::Csv if reading.options.quotes == Quotes::None || !file.contains(&b'"') => {
            lines.filter(|line| !line.is_empty()).count() - 1
        }
        Format::Csv => return,
    };
    assert_eq!(whole.records(), expected as u64, "records that were counted, and lines");
    assert_eq!(whole.bytes, reading.file.len() as u64, "bytes that were taken");
}

fn today() -> Day {
    Day::read("2026-01-01").expect("a day")
}

fn options(choice: u8) -> Options {
    Options {
        format: if choice & 1 == 0 { Format::Ndjson } else { Format::Csv },
        fhir: FhirOptions { us_core: choice & 2 != 0, other_types: choice & 0x20 != 0, ..FhirOptions::default() },
        kind: Some(Kind::ALL[usize::from((choice >> 2) & 7)]).filter(|_| choice & 1 == 0),
        rejects_unreadable: true,
        ids: Arc::default(),
        columns: columns(choice & 4 != 0),
        delimiter: [b',', b';', b'\t', b'|'][usize::from((choice >> 3) & 3)],
        quotes: [Quotes::Doubled, Quotes::Backslash, Quotes::None, Quotes::Doubled][usize::from((choice >> 5) & 3)],
        today: today(),
        strict: choice & 0x80 != 0,
        keep_rejected_records: true,
    }
}

/// With `loose`, columns of other names are passed over.
fn columns(loose: bool) -> ColumnMap {
    let mut columns = ColumnMap::default();
    if loose {
        columns.ignore_other_columns();
    }
    columns.add("id=patient_id").expect("a mapping");
    columns
}
