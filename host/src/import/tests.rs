//! Imports files as other systems write them: what is imported, and what is rejected for which reason.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::domain::patient::Day;

mod clinical;
mod current;
mod endless;
mod leaving_out;
mod mapping;
mod pieces;
mod quotes;

fn day(text: &str) -> Day {
    Day::read(text).unwrap()
}

pub(super) fn options(format: Format) -> Options {
    Options {
        format,
        fhir: FhirOptions::default(),
        kind: None,
        rejects_unreadable: true,
        ids: Arc::default(),
        columns: ColumnMap::default(),
        delimiter: b',',
        quotes: Quotes::Doubled,
        strict: false,
        today: day("2026-01-01"),
        keep_rejected_records: false,
    }
}

#[test]
fn hostile_file_of_blank_lines_ends_early() {
    for (format, blank) in
        [(Format::Ndjson, "\n"), (Format::Ndjson, "   \r\n"), (Format::Csv, "\n"), (Format::Csv, "\r\n")]
    {
        let header = if format == Format::Csv { "patient_id,family_name,given_name,birth_date,gender\n" } else { "" };
        let content = [header, &blank.repeat(17 << 20)].concat();
        let columns = ColumnMap::default();
        let error = read_all(content.as_bytes(), Options { columns, ..options(format) }).err().unwrap();
        assert!(error.message.contains("more than 16 MiB of blank lines"), "{error}");
    }
}

/// A file with this content. Dropping the folder removes it.
fn file(content: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, content).unwrap();
    (folder, path)
}

fn read_all(content: &[u8], options: Options) -> Result<Chunk, ImportError> {
    let (_folder, path) = file(content);
    let mut chunks = Chunks::open(&path, options, None)?;
    let mut all = Chunk::default();
    while !all.is_last {
        let chunk = chunks.next_chunk()?;
        all.patients.extend(chunk.patients);
        all.records.extend(chunk.records);
        chunk.passed_over.into_iter().for_each(|(name, count)| *all.passed_over.entry(name).or_default() += count);
        all.rejects.extend(chunk.rejects);
        all.repeated += chunk.repeated;
        (all.lines, all.taken, all.is_last) = (chunk.lines, chunk.taken, chunk.is_last);
    }
    Ok(all)
}

fn fhir(id: &str) -> Value {
    json!({ "resourceType": "Patient", "id": id, "name": [{ "family": "Kim", "given": ["MinJun"] }],
            "gender": "male", "birthDate": "1980-01-31" })
}

fn with(more: &Value) -> Value {
    let mut patient = fhir("P-1");
    patient.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    patient
}

/// The payload of the only patient of a file with this one resource.
fn taken(resource: &Value, options: Options) -> Value {
    let mut chunk = read_all(resource.to_string().as_bytes(), options).unwrap();
    assert!(chunk.rejects.is_empty(), "{:?}", chunk.rejects);
    serde_json::from_str(&chunk.patients.remove(0).payload()).unwrap()
}

fn plain(resource: &Value) -> Value {
    taken(resource, options(Format::Ndjson))
}

/// `LINE FIELD: MESSAGE` of each problem.
fn reasons(chunk: &Chunk) -> Vec<String> {
    let of = |reject: &Reject| {
        reject.problems.iter().map(|problem| format!("{} {problem}", reject.line)).collect::<Vec<_>>()
    };
    chunk.rejects.iter().flat_map(of).collect()
}

fn ids(chunk: &Chunk) -> Vec<&str> {
    chunk.patients.iter().map(|patient| patient.patient_id.as_str()).collect()
}

#[test]
fn what_cannot_be_taken_is_named_by_line_and_never_by_value() {
    let secret = "Secretname";
    let lines = [
        fhir("P-1").to_string(),
        format!("{{\"resourceType\": \"Patient\", \"name\": \"{secret}\"}}"),
        format!("{{\"resourceType\": \"Patient\", {secret}"),
        "[1]".to_owned(),
        String::new(),
        json!({ "resourceType": secret }).to_string(),
        json!({ "id": secret }).to_string(),
        with(&json!({ "active": false })).to_string(),
        with(&json!({ "deceasedBoolean": true })).to_string(),
        with(&json!({ "birthDate": "1980", "gender": secret })).to_string(),
        json!({ "resourceType": "Patient", "name": [{ "family": secret }] }).to_string(),
        with(&json!({ "telecom": [{ "rank": secret }] })).to_string(),
        "{\"resourceType\": \"Patient\", \"id\": \"a\", \"id\": \"b\"}".to_owned(),
        fhir("P-2").to_string(),
    ];
    let chunk = read_all(lines.join("\n").as_bytes(), options(Format::Ndjson)).unwrap();
    assert_eq!(ids(&chunk), ["P-1", "P-2"]);
    assert_eq!(chunk.lines, 14);
    let reasons = reasons(&chunk);
    assert_eq!(
        reasons,
        [
            "2 name: is not of the type that FHIR gives it",
            "3 record: is not JSON: an error at column 29",
            "4 record: is not a JSON object",
            "6 resourceType: is not a resource type of FHIR R4",
            "7 resourceType: is missing: not a FHIR resource",
            "8 active: is false: the record is no longer in use",
            "9 deceasedBoolean: is true without a date, which cannot be kept: give deceasedDateTime",
            "10 birth_date: is not a date of the calendar (YYYY-MM-DD)",
            "10 gender: is not one of male, female, other or unknown",
            "11 id: is missing, and so is an identifier with a system of ours",
            "12 telecom: is not of the type that FHIR gives it",
            "13 record: names an element twice",
        ]
    );
}

#[test]
fn marks_line_ends_and_letters_of_every_kind_are_read() {
    let mut bytes = vec![0xEF, 0xBB, 0xBF];
    bytes.extend_from_slice(
        format!(
            "{}\r\n\r\n  \n{}",
            fhir("P-1"),
            with(&json!({ "id": "P-2", "name": [{ "family": "김😀", "given": ["é"] }] }))
        )
        .as_bytes(),
    );
    let chunk = read_all(&bytes, options(Format::Ndjson)).unwrap();
    assert_eq!(ids(&chunk), ["P-1", "P-2"]);
    assert_eq!(chunk.patients[1].family_name, "김😀");
    let chunk = read_all(b"{\"resourceType\": \"Pati\xff\"}\n", options(Format::Ndjson)).unwrap();
    assert_eq!(reasons(&chunk), ["1 record: is not UTF-8"]);
    let error = read_all(&[0xFF, 0xFE, 0x7B, 0x00], options(Format::Ndjson)).unwrap_err();
    assert!(error.to_string().ends_with("is UTF-16: save it as UTF-8"), "{error}");
    assert!(read_all(b"", options(Format::Ndjson)).unwrap().patients.is_empty());
}

#[test]
fn a_huge_line_is_passed_over_and_the_next_one_is_taken() {
    let mut bytes = vec![b'x'; RECORD_BYTES_MAX + 1];
    bytes.extend_from_slice(format!("\n{}\n", fhir("P-1")).as_bytes());
    let chunk = read_all(&bytes, options(Format::Ndjson)).unwrap();
    assert_eq!(reasons(&chunk), [format!("1 record: is longer than {RECORD_BYTES_MAX} bytes")]);
    assert_eq!(ids(&chunk), ["P-1"]);
}

#[test]
fn of_one_patient_in_a_chunk_the_last_state_counts() {
    let lines = format!("{}\n{}\n{}\n", fhir("P-1"), fhir("P-2"), with(&json!({ "gender": "other" })));
    let chunk = read_all(lines.as_bytes(), options(Format::Ndjson)).unwrap();
    assert_eq!((ids(&chunk), chunk.repeated), (vec!["P-1", "P-2"], 1));
    assert_eq!(chunk.patients[0].gender.as_str(), "other");
}

#[test]
fn what_is_packed_is_unpacked() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(fhir("P-1").to_string().as_bytes()).unwrap();
    let chunk = read_all(&packed.finish().unwrap(), options(Format::Ndjson)).unwrap();
    assert_eq!(ids(&chunk), ["P-1"]);
}

const HEADER: &str = "patient_id,Family Name,given-name,BIRTH_DATE,gender";

fn csv(text: &str) -> Result<Chunk, ImportError> {
    read_all(text.as_bytes(), options(Format::Csv))
}

#[test]
fn a_header_of_our_fields_needs_no_options() {
    let chunk = csv(&format!(
        "\u{FEFF}{HEADER},street\r\nP-1,Kim,MinJun,1980-01-31,male,\"1, \"\"A\"\"-ro\"\r\n\r\nP-2,김,민준,1980-01-31,female,\r\n"
    ))
    .unwrap();
    assert_eq!(ids(&chunk), ["P-1", "P-2"]);
    assert_eq!(chunk.patients[0].street.as_deref(), Some("1, \"A\"-ro"));
    assert_eq!(chunk.patients[1].street, None);
    assert_eq!(chunk.lines, 4);
}

#[test]
fn a_row_that_does_not_fit_is_a_reject_and_the_next_is_taken() {
    let chunk = csv(&format!(
        "{HEADER}\nP-1,Kim,MinJun\nP-2,\"K\nim\",MinJun,1980-01-31,male\n\nP-3,Kim,MinJun,31.01.1980,M\nP-4,Kim,MinJun,1980-01-31,male\n"
    ))
    .unwrap();
    assert_eq!(
        reasons(&chunk),
        [
            "2 record: has 3 fields, the header has 5",
            "3 family_name: must not contain control characters such as a line break or a tab",
            "6 birth_date: is not a date of the calendar (YYYY-MM-DD)",
            "6 gender: is not one of male, female, other or unknown",
        ]
    );
    assert_eq!(ids(&chunk), ["P-4"]);
}

#[test]
fn a_header_that_does_not_fit_is_refused_without_its_words() {
    let error = csv("Secretname,MinJun,1980-01-31,male\nP-1,a,b,c\n").unwrap_err().to_string();
    assert!(error.contains(":1: column 1 is not a field of a patient; fix: add --map"), "{error}");
    assert!(error.contains("no column is patient_id"), "{error}");
    assert!(!error.contains("Secretname"), "{error}");
    let error = csv(&format!("{HEADER},gender\n")).unwrap_err().to_string();
    assert!(error.contains("column 6 has a field that another column has"), "{error}");
    assert!(csv("").unwrap_err().to_string().ends_with("is empty: a header was expected"));
    let many: Vec<_> = (0..4_000).map(|number| format!("c{number}")).collect();
    let error = csv(&format!("{HEADER},{}\n", many.join(","))).unwrap_err().to_string();
    assert!(error.contains("3990 other columns do not fit either") && error.len() < 2_000, "{error}");
}

#[test]
fn columns_values_and_dates_are_translated() {
    let (_folder, map_file) = file(
        "date_format = \"%d.%m.%Y\"\n[columns]\nNo = \"patient_id\"\nNachname = \"family_name\"\nVorname = \"given_name\"\nGeboren = \"birth_date\"\n[values.gender]\nM = \"male\"\n".as_bytes(),
    );
    let mut options = options(Format::Csv);
    options.columns = ColumnMap::read(&map_file).unwrap();
    options.columns.add("sex=gender").unwrap();
    options.columns.add("notes=").unwrap();
    options.delimiter = b';';
    let text = "No;Nachname;Vorname;Geboren;SEX;Notes\nP-1;Kim;MinJun;31.01.1980;M;anything\nP-2;Kim;MinJun;1980-01-31;male;\n";
    let chunk = read_all(text.as_bytes(), options.clone()).unwrap();
    assert_eq!(reasons(&chunk), Vec::<String>::new());
    assert_eq!(chunk.patients.iter().map(|patient| patient.birth_date).collect::<Vec<_>>(), [day("1980-01-31"); 2]);
    let error = read_all(text.replace(";Notes", ";Other").as_bytes(), options.clone()).unwrap_err().to_string();
    assert!(error.contains("column 6 is not a field") && error.contains("there is no column `notes`"), "{error}");
    options.columns = ColumnMap::read(&map_file).unwrap();
    options.columns.add("sex=gender").unwrap();
    options.columns.ignore_other_columns();
    assert_eq!(read_all(text.as_bytes(), options).unwrap().patients.len(), 2);
}

#[test]
fn a_bad_mapping_is_refused_with_every_problem() {
    let (_folder, map_file) = file(
        b"date_format = \"%Q\"\n[columns]\na = \"colour\"\nb = 1\nB = \"city\"\n[values.colour]\nx = \"y\"\n[other]\n",
    );
    let problems = ColumnMap::read(&map_file).unwrap_err().to_string();
    for found in [
        ":1: date_format",
        ":3: columns.a: the field must be one of",
        ":4: columns.b",
        "values.colour: is not a field",
        "other: unknown key",
    ] {
        assert!(problems.contains(found), "no `{found}` in {problems}");
    }
    let mut map = ColumnMap::default();
    assert_eq!(map.add("nothing").unwrap_err(), "write it \"THEIR HEADER=our_field\"");
    map.add("x=city").unwrap();
    assert_eq!(map.add(" X =state").unwrap_err(), "the same header is mapped twice");
}

#[test]
fn a_quote_that_is_never_closed_ends_the_import_with_its_line() {
    let mut text = format!("{HEADER}\nP-1,Kim,MinJun,1980-01-31,male\nP-2,\"Kim,MinJun,1980-01-31,male\n");
    text.push_str(&"P-3,Kim,MinJun,1980-01-31,male\n".repeat(RECORD_BYTES_MAX / 30 + 1_000));
    let error = csv(&text).unwrap_err();
    assert_eq!(error.line, Some(3));
    assert!(error.message.contains("a quote may not be closed"), "{error}");
}

/// Imports `chunks` chunks of `content`, then opens `changed`. Returns where the second run starts and what it reads.
fn resumed(content: &[u8], changed: &[u8], options: &Options, chunks: usize) -> (u64, Vec<Chunk>) {
    let (_folder, path) = file(content);
    let mut first = Chunks::open(&path, options.clone(), None).unwrap();
    let mut taken = Chunk::default();
    for _ in 0..chunks {
        taken = first.next_chunk().unwrap();
    }
    fs::write(&path, changed).unwrap();
    let mut second = Chunks::open(&path, options.clone(), Some((&taken.taken, taken.lines))).unwrap();
    let behind = second.lines();
    let mut rest = Vec::new();
    while rest.last().is_none_or(|chunk: &Chunk| !chunk.is_last) {
        rest.push(second.next_chunk().unwrap());
    }
    (behind, rest)
}

fn count(chunks: &[Chunk]) -> usize {
    chunks.iter().map(|chunk| chunk.patients.len()).sum()
}

#[test]
fn a_run_goes_on_behind_the_same_bytes_and_nothing_else() {
    let lines: Vec<_> = (0..5_000).map(|number| fhir(&format!("P-{number}")).to_string() + "\n").collect();
    let ndjson = lines.concat();
    let rows: Vec<_> = (0..5_000).map(|number| format!("P-{number},Kim,MinJun,1980-01-31,male\r\n")).collect();
    let rows = rows.concat();
    for (format, content, header) in [(Format::Ndjson, ndjson, 0), (Format::Csv, format!("{HEADER}\r\n{rows}"), 1)] {
        let options = options(format);
        let content = content.as_bytes();
        let (behind, rest) = resumed(content, content, &options, 1);
        assert_eq!((behind, count(&rest)), (2_000 + header, 3_000), "{format:?}");
        assert_eq!(rest.last().unwrap().lines, 5_000 + header);
        let (behind, rest) = resumed(content, content, &options, 3);
        assert_eq!((behind, count(&rest)), (5_000 + header, 0), "all was taken");
        // A byte before the mark has changed, so it starts from the beginning.
        let mut changed = content.to_vec();
        let at = 1_000;
        let digit = changed[at..].iter().position(u8::is_ascii_digit).unwrap() + at;
        changed[digit] = if changed[digit] == b'1' { b'2' } else { b'1' };
        let (behind, _) = resumed(content, &changed, &options, 1);
        assert_eq!(behind, 0, "{format:?}");
        // A shorter file cannot be resumed; a longer one can.
        assert_eq!(resumed(content, &content[..500], &options, 1).0, 0);
        let longer = [content, &content[content.len() / 2..]].concat();
        assert_eq!(resumed(content, &longer, &options, 3).0, 5_000 + header);
    }
    // The last line of the file was incomplete, then the file grew. So it is read again from the beginning.
    let options = options(Format::Ndjson);
    let (start, end) = (format!("{}\n{{\"resource", fhir("P-1")), format!("{}\n{}\n", fhir("P-1"), fhir("P-2")));
    let (behind, rest) = resumed(start.as_bytes(), end.as_bytes(), &options, 1);
    assert_eq!((behind, count(&rest)), (0, 2));
}

#[test]
fn rejects_are_written_without_the_record_unless_it_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rejects");
    let mut options = options(Format::Ndjson);
    let line = with(&json!({ "birthDate": "secret" })).to_string();
    let chunk = read_all(line.as_bytes(), options.clone()).unwrap();
    let mut rejects = Rejects::begin(&path).unwrap();
    assert_eq!(rejects.write(&[]).unwrap(), 0);
    assert!(!path.exists(), "no reject, no file");
    let length = rejects.write(&chunk.rejects).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.len() as u64, length);
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap(),
        json!({ "line": 1, "problems": [{ "field": "birth_date", "reason": "is not a date of the calendar (YYYY-MM-DD)" }] })
    );
    // A killed run wrote more rejects than it recorded.
    rejects.write(&chunk.rejects).unwrap();
    drop(rejects);
    options.keep_rejected_records = true;
    let chunk = read_all(line.as_bytes(), options).unwrap();
    Rejects::resume(&path, length).unwrap().write(&chunk.rejects).unwrap();
    let lines: Vec<Value> =
        fs::read_to_string(&path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[1]["record"].as_str(), Some(line.as_str()));
}

#[test]
fn a_name_tells_its_format() {
    for (name, format) in [
        ("Patient.ndjson", Some(Format::Ndjson)),
        ("a/b.JSONL.gz", Some(Format::Ndjson)),
        ("x.csv", Some(Format::Csv)),
        ("x.tsv.gz", Some(Format::Csv)),
        ("x.xlsx", None),
        ("-", None),
    ] {
        assert_eq!(Format::of_name(name), format, "{name}");
    }
}
