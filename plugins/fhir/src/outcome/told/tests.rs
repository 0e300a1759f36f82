//! Codes, paths and known words pass, and nothing else does, for any text of a server.

use serde_json::json;

use super::*;

const PAYLOAD: &str = r#"{"patient_id":"ZEBNAT-99","family_name":"Zebraqfam Von","given_name":"Müllerzq",
    "birth_date":"1971-07-23","phone_mobile":"+82-10-7777-8888","email":"zebramail@x.org","street":"12 Quaggastreet Road"}"#;

fn of(issue: &Value) -> String {
    line(&json!({ "resourceType": "OperationOutcome", "issue": [issue] }), PAYLOAD).unwrap_or_default()
}

fn said(diagnostics: &str) -> String {
    of(&json!({ "severity": "error", "diagnostics": diagnostics }))
}

#[test]
fn code_location_and_known_words_are_shown() {
    let issue = json!({ "severity": "error", "code": "invalid", "expression": ["Patient.birthDate"],
        "details": { "coding": [{ "code": "MSG_DATE_FORMAT", "display": "Zebraqfam" }] },
        "diagnostics": "HAPI-0450: Failed to parse 'birthDate': the value is not a valid date (HTTP 422)" });
    assert_eq!(
        of(&issue),
        "invalid MSG_DATE_FORMAT at Patient.birthDate - HAPI-0450 ... to parse birthDate the value is not a valid date HTTP 422"
    );
    assert_eq!(
        of(&json!({ "code": "required", "details": { "text": "name is missing" } })),
        "required - name is missing"
    );
    assert_eq!(
        said("HAPI-0450: the family name 'Kim' is not a valid string"),
        "- HAPI-0450 the family name ... is not a valid string",
        "as docs/adapters/fhir.md says"
    );
    assert_eq!(said("Patient.name[0].family is too long"), "- Patient.name[0].family is too long");
}

#[test]
fn at_most_three_issues_are_shown_errors_first() {
    let issue = |severity: &str, code: &str| json!({ "severity": severity, "code": code });
    let line = |issues: Vec<Value>| line(&json!({ "issue": issues }), PAYLOAD);
    assert_eq!(line(vec![issue("warning", "value"), issue("error", "required")]).unwrap(), "required");
    assert_eq!(line(vec![issue("warning", "value")]).unwrap(), "value");
    assert_eq!(line(vec![issue("error", "value"); 5]).unwrap(), "value; value; value");
    assert_eq!(line(vec![json!({ "diagnostics": "Zebraqfam" }), json!(3)]), None);
    let long = json!({ "code": "invalid", "diagnostics": "value Kim ".repeat(200) });
    let told = line(vec![long]).unwrap();
    assert!(told.len() <= 304 && told.ends_with(" ..."), "{told}");
}

#[test]
fn rephrased_payload_values_are_not_shown() {
    for rephrased in [
        "name Zebraqfam is too long",
        "name MÜLLERZQ is too long",
        "name Mu\u{308}llerzq is too long",
        "name 23 July 1971 is too long",
        "name +82 10 7777 8888 is too long",
        "name Quaggastreet is too long",
        "name zebramail at x.org is too long",
        "name ZEBNAT-99 is too long",
    ] {
        let told = said(rephrased);
        let expected =
            if rephrased.contains(" at ") { "- name ... at ... is too long" } else { "- name ... is too long" };
        assert_eq!(told, expected, "{rephrased}");
    }
}

#[test]
fn server_codes_are_shown_only_if_plain_and_not_from_the_payload() {
    let coded = |code: &str| of(&json!({ "code": "invalid", "details": { "coding": [{ "code": code }] } }));
    for code in ["MSG_PARAM_INVALID", "error-404", "a.b_c", "HAPI-0450"] {
        assert_eq!(coded(code), format!("invalid {code}"));
    }
    let long = "a".repeat(41);
    for code in
        ["Zebraqfam", "zebnat-99", "ZEBRAMAIL", "19710723", "A19710723", "010-7777-8888", "two words", "김", &long, ""]
    {
        assert_eq!(coded(code), "invalid", "{code}");
    }
    assert_eq!(of(&json!({ "code": "Zebraqfam" })), "");
}

#[test]
fn locations_are_shown_without_literals() {
    for (path, expected) in [
        ("Patient.name[0].family", Some("Patient.name[0].family")),
        ("Patient.name.where(family='Zebraqfam').given", Some("Patient.name...")),
        ("Patient.extension('Zebraqfam').value", Some("Patient.extension...")),
        ("Patient.name['Zebraqfam'].given", Some("Patient.name[...].given")),
        ("Patient.name[19710723].given", Some("Patient.name[...].given")),
        ("Patient.Zebraqfam.given", Some("Patient...")),
        ("Bundle.entry[3].resource/*Patient/Zebraqfam*/.birthDate", Some("Bundle.entry[3].resource.birthDate")),
        ("Bundle.entry[3].resource/*Patient/Zebraqfam", Some("Bundle.entry[3].resource")),
        ("/f:Patient/f:birthDate/@value", Some("Patient.birthDate...")),
        ("Patient.name[0", Some("Patient.name[0]")),
        ("Zebraqfam", None),
        ("Line[1] Col[23]", None),
        ("[0]", None),
        ("/*", None),
        ("...", None),
        ("", None),
    ] {
        assert_eq!(place(path).as_deref(), expected, "{path}");
    }
    let placed = json!({ "expression": ["Line 1"], "location": ["/f:Patient/f:name"] });
    assert_eq!(of(&placed), "at Patient.name");
}

#[test]
fn numbers_are_omitted_except_for_http_statuses() {
    assert_eq!(said("HTTP 412 status 404"), "- HTTP 412 status 404");
    for text in [
        "value 404 555 1212",
        "value HTTP/1.1",
        "value HAPI-19710723",
        "value HAPI-04a0",
        "value 7",
        "value status 123",
    ] {
        assert!(!said(text).contains(|c: char| c.is_ascii_digit()), "{text}");
    }
}

/// A reproducible sequence of pseudo-random numbers.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }
}

/// Whether every word of a line is a known word, a path of such words, a message number, a status, or the omission
/// mark.
fn is_ours(line: &str) -> bool {
    let mut before = "";
    line.split(' ').all(|word| {
        let is_path = |word: &str| {
            let names: Vec<&str> = word.split(['.', '[', ']']).filter(|name| !name.is_empty()).collect();
            names
                .iter()
                .all(|name| words::is_element(name) || name.len() <= 2 && name.bytes().all(|b| b.is_ascii_digit()))
        };
        let fits = word == "-"
            || words::is_word(word)
            || is_path(word)
            || is_message_id(word)
            || words::STATUSES.contains(&word) && matches!(before, "HTTP" | "status");
        before = word;
        fits
    })
}

#[test]
fn only_listed_words_are_shown() {
    let pieces = [
        "Zebraqfam",
        "zebraqfam",
        "Müllerzq",
        "MÜLLERZQ",
        "김민준",
        "Patient",
        "name",
        "family",
        "birthDate",
        "invalid",
        "not",
        "HTTP",
        "status",
        "404",
        "412",
        "1971",
        "07",
        "23",
        "7",
        "HAPI-",
        "HAPI-0450",
        "f:",
        "xn",
        " ",
        " ",
        " ",
        " ",
        ".",
        "/",
        "[",
        "]",
        "(",
        ")",
        "'",
        "\"",
        "-",
        "_",
        "@",
        "/*",
        "*/",
        ":",
        ",",
        "\n",
        "\t",
        "\u{a0}",
        "\u{308}",
        "\u{200b}",
        "…",
    ];
    let mut dice = Dice(7);
    for round in 0..20_000 {
        let text: String = (0..dice.below(14)).map(|_| pieces[dice.below(pieces.len())]).collect();
        for issue in [json!({ "diagnostics": text }), json!({ "details": { "text": text } })] {
            let told = of(&issue);
            assert!(is_ours(&told), "round {round}: {text:?} gave {told:?}");
        }
        let told = place(&text).unwrap_or_default();
        assert!(is_ours(&told), "round {round}: {text:?} is at {told:?}");
    }
}

#[test]
fn random_text_shows_only_listed_words() {
    let mut dice = Dice(11);
    for _ in 0..5_000 {
        let text: String =
            (0..dice.below(60)).filter_map(|_| char::from_u32(u32::try_from(dice.below(0x3000)).unwrap())).collect();
        let told = said(&text);
        assert!(is_ours(&told), "{text:?} gave {told:?}");
    }
}
