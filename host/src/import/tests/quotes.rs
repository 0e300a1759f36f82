//! Quotes and line ends of CSV: no quote hides a record unnoticed.

use super::*;

const NOTES: &str = "patient_id,family_name,given_name,birth_date,gender,Notes";

fn row(id: &str, notes: &str) -> String {
    format!("{id},Kim,MinJun,1980-01-31,male,{notes}\n")
}

fn with_notes(quotes: Quotes) -> Options {
    let mut options = options(Format::Csv);
    options.columns.add("Notes=").unwrap();
    options.quotes = quotes;
    options
}

/// The records returned before the file ended with an error, and the error.
fn until_broken(content: &str, options: Options) -> (Vec<String>, ImportError) {
    let (_folder, path) = file(content.as_bytes());
    let mut chunks = Chunks::open(&path, options, None).unwrap();
    let mut taken = Vec::new();
    loop {
        match chunks.next_chunk() {
            Ok(chunk) => {
                assert!(!chunk.is_last, "the end was reached: {:?}", reasons(&chunk));
                taken.extend(ids(&chunk).into_iter().map(str::to_owned));
            }
            Err(error) => return (taken, error),
        }
    }
}

#[test]
fn a_quote_that_is_open_in_a_column_that_is_passed_over_stops_the_import_at_its_line() {
    for behind in [
        // No later quote closes the open one.
        row("P-3", "fine"),
        // Another quote closes it: inside a cell, at its beginning, or at its end.
        row("P-3", "said \"no\""),
        row("P-3", "\"fine\""),
        row("P-3", "5\""),
        row("P-3", "\"\""),
    ] {
        for rows_behind in [0, 3_000] {
            let more: String = (0..rows_behind).map(|number| row(&format!("Q-{number}"), "fine")).collect();
            let text = format!("{NOTES}\n{}{}{behind}{more}", row("P-1", "ok"), row("P-2", "\"fell from bed"));
            let (taken, error) = until_broken(&text, with_notes(Quotes::Doubled));
            assert_eq!((taken, error.line), (vec!["P-1".to_owned()], Some(3)), "{behind}{error}");
        }
    }
}

#[test]
fn the_suggested_quotes_option_reads_the_file() {
    // In a file whose quotes are plain text, the quote that closes the cell belongs to another record.
    let text = format!("{NOTES}\n{}{}{}", row("P-1", "ok"), row("P-2", "\"fell from bed"), row("P-3", "said \"no\""));
    let (_, error) = until_broken(&text, with_notes(Quotes::Doubled));
    assert!(error.message.contains("--quotes none") && !error.message.contains("backslash"), "{error}");
    let chunk = read_all(text.as_bytes(), with_notes(Quotes::None)).unwrap();
    assert_eq!((ids(&chunk), chunk.rejects.len()), (vec!["P-1", "P-2", "P-3"], 0));
    let never = format!("{NOTES}\n{}", row("P-1", "\"open"));
    assert!(until_broken(&never, with_notes(Quotes::Doubled)).1.message.contains("--quotes none"));
    // A quote after a backslash, as `INTO OUTFILE` writes it.
    let text = format!("{NOTES}\n{}", row("P-1", r#""he said \"no\", twice""#));
    let chunk = read_all(text.as_bytes(), with_notes(Quotes::Doubled)).unwrap();
    assert!(reasons(&chunk)[0].ends_with("add --quotes backslash, since a quote follows a backslash"), "{chunk:?}");
    assert_eq!(ids(&read_all(text.as_bytes(), with_notes(Quotes::Backslash)).unwrap()), ["P-1"]);
}

#[test]
fn a_quote_that_is_open_in_the_first_column_stops_the_import_too() {
    let rows = "\"a,R-1,Kim,M,1980-01-01,male\nb\",R-2,Lee,M,1980-01-01,male\n";
    let header = NOTES.rsplit_once(',').map(|(fields, notes)| format!("{notes},{fields}")).unwrap();
    let (taken, error) = until_broken(&format!("{header}\n{rows}"), with_notes(Quotes::Doubled));
    assert_eq!((taken, error.line), (Vec::new(), Some(2)), "{error}");
    // A multi-line cell is accepted there if it does not look like a record.
    let text = format!("{header}\n\"one, two\nthree\",R-1,Kim,M,1980-01-01,male\n");
    assert_eq!(ids(&read_all(text.as_bytes(), with_notes(Quotes::Doubled)).unwrap()), ["R-1"]);
}

#[test]
fn what_is_before_an_open_quote_is_imported_once_and_the_fixed_file_resumes_behind_it() {
    let good: String = (0..2_500).map(|number| row(&format!("P-{number}"), "ok")).collect();
    let broken = format!("{NOTES}\n{good}{}{}", row("Q-1", "\"open"), row("Q-2", ""));
    let (_folder, path) = file(broken.as_bytes());
    let mut chunks = Chunks::open(&path, with_notes(Quotes::Doubled), None).unwrap();
    let first = chunks.next_chunk().unwrap();
    let second = chunks.next_chunk().unwrap();
    assert_eq!((first.patients.len(), second.patients.len(), second.is_last), (2_000, 500, false));
    assert_eq!(chunks.next_chunk().unwrap_err().line, Some(2_502));
    fs::write(&path, broken.replace("\"open", "closed")).unwrap();
    let earlier = Some((&second.taken, second.lines));
    let mut chunks = Chunks::open(&path, with_notes(Quotes::Doubled), earlier).unwrap();
    assert_eq!(chunks.lines(), 2_501);
    assert_eq!(ids(&chunks.next_chunk().unwrap()), ["Q-1", "Q-2"]);
}

#[test]
fn a_cell_may_have_line_breaks_and_every_line_is_counted_once() {
    for end in ["\n", "\r\n", "\r"] {
        let text = [
            NOTES,
            "P-1,Kim,MinJun,1980-01-31,male,\"one, two",
            "three \"\"four\"\"",
            "",
            "\"",
            "P-2,Kim,MinJun,x,male,",
            "",
            "P-3,Kim,MinJun,y,male,",
        ]
        .join(end);
        let chunk = read_all(text.as_bytes(), with_notes(Quotes::Doubled)).unwrap();
        assert_eq!(ids(&chunk), ["P-1"], "{end:?}");
        let reason = "birth_date: is not a date of the calendar (YYYY-MM-DD)";
        assert_eq!(reasons(&chunk), [format!("6 {reason}"), format!("8 {reason}")], "{end:?}");
        assert_eq!(chunk.lines, 8, "{end:?}");
        let lines = [fhir("P-1").to_string(), "{".to_owned(), fhir("P-2").to_string()].join(end);
        let chunk = read_all(lines.as_bytes(), options(Format::Ndjson)).unwrap();
        assert_eq!((ids(&chunk), chunk.lines), (vec!["P-1", "P-2"], 3), "{end:?}");
        assert!(reasons(&chunk)[0].starts_with("2 record: is not JSON"));
    }
}

#[test]
fn quotes_are_read_as_they_were_said_to_be_written_and_never_guessed() {
    let name = |written: &str| format!("{HEADER}\nP-1,{written},Jo,1980-01-31,male\nP-2,Kim,Jo,1980-01-31,male\n");
    let family = |written: &str, quotes: Quotes| {
        let mut options = options(Format::Csv);
        options.quotes = quotes;
        let chunk = read_all(name(written).as_bytes(), options).unwrap();
        assert_eq!(ids(&chunk).last(), Some(&"P-2"), "the next record is taken");
        match chunk.rejects.first() {
            Some(reject) => format!("{} {}", reject.line, reject.problems[0].message),
            None => chunk.patients[0].family_name.clone(),
        }
    };
    assert_eq!(family(r#""O""Neil""#, Quotes::Doubled), "O\"Neil");
    assert!(family(r#""O\"Neil""#, Quotes::Doubled).starts_with("2 text follows a closing quote;"));
    assert!(family(r#" "Kim""#, Quotes::Doubled).starts_with("2 a quote is inside a cell"));
    assert!(family(r#"O"Neil"#, Quotes::Doubled).starts_with("2 a quote is inside a cell"));
    assert_eq!(family(r#""O\"Neil""#, Quotes::Backslash), "O\"Neil");
    assert_eq!(family(r#""O""Neil""#, Quotes::Backslash), "O\"Neil");
    assert_eq!(family(r#""a\\b""#, Quotes::Backslash), "a\\b");
    assert_eq!(family(r#"O"Neil"#, Quotes::None), "O\"Neil");
    assert_eq!(family(r#""O"Neil"#, Quotes::None), "\"O\"Neil");
}
