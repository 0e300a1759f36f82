//! A file that arrives in pieces, as from a pipe, is read like the whole.

use std::io::Write as _;

use super::super::fuzzing::chunks;
use super::*;

const CSV: &str =
    "patient_id,family_name,given_name,birth_date,gender\r\nP-1,Kim,MinJun,1980-01-31,male\r\nP-2,Lee,A,x,male\r\n";

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn what_a_file_begins_with_is_seen_in_however_small_pieces_it_comes() {
    let marked = ["\u{feff}", CSV].concat();
    // A gzip file may have several members, and the first may hold a single byte.
    let parts = [packed(&marked.as_bytes()[..1]), packed(&marked.as_bytes()[1..])].concat();
    for file in [CSV.as_bytes(), marked.as_bytes(), &packed(CSV.as_bytes()), &packed(marked.as_bytes()), &parts] {
        for piece in [1, 2, 3, 7, 4_096] {
            let chunk = chunks(file, piece, 100, options(Format::Csv), None).unwrap().next_chunk().unwrap();
            assert!(chunk.is_last);
            assert_eq!((chunk.patients.len(), chunk.rejects.len(), chunk.lines), (1, 1, 3), "in pieces of {piece}");
        }
    }
    for piece in [1, 2] {
        let error = chunks(b"\xff\xfea\0", piece, 100, options(Format::Ndjson), None).err().unwrap();
        assert!(error.message.contains("UTF-16"), "{error}");
    }
}
