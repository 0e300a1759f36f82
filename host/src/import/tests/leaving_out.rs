//! What a patient can go without costs that field alone, and is told; what it cannot go without costs the record.

use super::*;

/// `LINE FIELD` of each field that was left out.
fn left_out(chunk: &Chunk) -> Vec<String> {
    let taken = chunk.rejects.iter().filter(|reject| reject.is_taken);
    taken
        .flat_map(|reject| reject.problems.iter().map(|problem| format!("{} {}", reject.line, problem.field)))
        .collect()
}

#[test]
fn an_optional_element_that_cannot_be_kept_is_left_out_and_told() {
    let lines = [
        with(&json!({ "id": "c1", "address": [{ "use": "home", "line": ["1 Rd"], "country": "Deutschland" }] })),
        with(
            &json!({ "id": "e1", "telecom": [{ "system": "email", "value": "no-at-sign" }, { "system": "phone", "value": "1" }] }),
        ),
        with(&json!({ "id": "e2", "telecom": [{ "system": "phone", "value": "1".repeat(81) }] })),
        with(
            &json!({ "id": "e3", "telecom": [{ "rank": "first", "system": "phone", "value": "1" }, { "system": "phone", "value": "2" }] }),
        ),
        with(&json!({ "id": "m1", "maritalStatus": { "coding": [{ "code": "P" }] } })),
        with(&json!({ "id": "l1", "communication": { "language": 7 } })),
        with(&json!({ "id": "ok", "maritalStatus": { "coding": [{ "code": "UNK" }] } })),
    ];
    let text = lines.map(|line| line.to_string()).join("\n");
    let chunk = read_all(text.as_bytes(), options(Format::Ndjson)).unwrap();
    assert_eq!(ids(&chunk), ["c1", "e1", "e2", "e3", "m1", "l1", "ok"]);
    assert_eq!(
        left_out(&chunk),
        ["1 country", "2 email", "3 phone_home", "4 telecom", "5 maritalStatus", "6 communication"]
    );
    assert_eq!(chunk.rejected_and_incomplete(), (0, 6));
    assert_eq!((chunk.patients[0].street.as_deref(), chunk.patients[0].country.as_deref()), (Some("1 Rd"), None));
    assert_eq!(chunk.patients[1].phone_home.as_deref(), Some("1"));
    assert_eq!(chunk.patients[3].phone_home.as_deref(), Some("2"), "one entry costs no other");
    let strict = Options { strict: true, ..options(Format::Ndjson) };
    let chunk = read_all(text.as_bytes(), strict).unwrap();
    assert_eq!((ids(&chunk), chunk.rejected_and_incomplete()), (vec!["ok"], (6, 0)));
}

#[test]
fn an_invalid_contact_is_replaced_by_a_valid_one() {
    let email = |value: &str| json!({ "system": "email", "value": value });
    let phone = |value: &str, more: &str| match more {
        "" => json!({ "system": "phone", "value": value }),
        used => json!({ "system": "phone", "value": value, "use": used }),
    };
    let long = "1".repeat(81);
    let telecom = json!([
        email("no-at-sign"),
        email("nor this"),
        email("a@b.kr"),
        email("c@d.kr"),
        phone(&long, "home"),
        phone("1", ""),
        phone(&long, "work"),
        phone("2", "work"),
        phone("3", "mobile"),
        phone(&long, "mobile"),
    ]);
    let patient = plain(&with(&json!({ "telecom": telecom })));
    assert_eq!(
        ["email", "phone_home", "phone_work", "phone_mobile"].map(|field| patient[field].as_str().unwrap().to_owned()),
        ["a@b.kr", "1", "2", "3"]
    );
    let bad = with(&json!({ "telecom": [email("no-at-sign"), email("nor this")] }));
    let chunk = read_all(bad.to_string().as_bytes(), options(Format::Ndjson)).unwrap();
    assert_eq!(left_out(&chunk), ["1 email"]);
}

#[test]
fn what_a_patient_cannot_go_without_costs_the_record() {
    let lines = [
        with(&json!({ "id": "d1", "deceasedDateTime": "2024" })),
        with(&json!({ "id": "b1", "birthDate": "1980-01" })),
        with(&json!({ "id": "n1", "name": [{ "family": "Kim" }], "telecom": [{ "system": "email", "value": "x" }] })),
    ];
    let chunk = read_all(lines.map(|line| line.to_string()).join("\n").as_bytes(), options(Format::Ndjson)).unwrap();
    assert_eq!((ids(&chunk), chunk.rejected_and_incomplete()), (vec![], (3, 0)));
    assert_eq!(reasons(&chunk).last().unwrap(), "3 email: is not an e-mail address (name@domain)");
}

#[test]
fn an_empty_cell_is_absent_and_one_that_is_not_text_is_left_out() {
    let (_folder, map_file) = file(
        b"absent = [\"NULL\", \"\\\\N\"]\n[values.phone_home]\n\"n/a\" = \"\"\n[values.country]\nKorea = \"KR\"\n",
    );
    let mut options = options(Format::Csv);
    options.columns = ColumnMap::read(&map_file).unwrap();
    let mut text = format!(
        "{HEADER},phone_home,street,country\nP-1,Kim,Jo,1980-01-31,male,n/a,\\N,Korea\nP-2,NULL,Jo,1980-01-31,male,NULL,,KR\nP-3,Kim,Jo,1980-01-31,male,1,"
    )
    .into_bytes();
    text.extend_from_slice(b"Stra\xDFe,DE\n");
    let chunk = read_all(&text, options).unwrap();
    assert_eq!(ids(&chunk), ["P-1", "P-3"]);
    assert_eq!(reasons(&chunk), ["3 family_name: is missing", "4 street: is not UTF-8"]);
    let (first, last) = (&chunk.patients[0], &chunk.patients[1]);
    assert_eq!((&first.phone_home, &first.street, first.country.as_deref()), (&None, &None, Some("KR")));
    assert_eq!((&last.street, last.country.as_deref()), (&None, Some("DE")));
    // What values are called is for NDJSON too.
    let mut options = super::options(Format::Ndjson);
    options.columns = ColumnMap::read(&map_file).unwrap();
    assert!(options.columns.is_of_values_alone());
    let resource = with(&json!({ "address": [{ "line": ["NULL"], "city": "Seoul", "country": "Korea" }] }));
    let patient = taken(&resource, options);
    assert_eq!((&patient["country"], patient.get("street")), (&json!("KR"), None));
}

#[test]
fn a_date_format_without_a_century_is_refused() {
    for (format, is_taken) in [("%m/%d/%y", false), ("%d.%m.%y", false), ("%d.%m.%Y", true), ("%Y%m%d", true)] {
        let (_folder, map_file) = file(format!("date_format = \"{format}\"\n").as_bytes());
        match ColumnMap::read(&map_file) {
            Ok(_) => assert!(is_taken, "{format}"),
            Err(problems) => assert!(!is_taken && problems.to_string().contains("four digits (%Y)"), "{problems}"),
        }
    }
    // Two digits where four were said are no year of our time.
    let (_folder, map_file) = file(b"date_format = \"%d.%m.%Y\"\n");
    let mut options = options(Format::Csv);
    options.columns = ColumnMap::read(&map_file).unwrap();
    let chunk = read_all(format!("{HEADER}\nP-1,Kim,Jo,31.01.24,male\n").as_bytes(), options).unwrap();
    assert!(reasons(&chunk)[0].starts_with("2 birth_date: "), "{:?}", reasons(&chunk));
}
