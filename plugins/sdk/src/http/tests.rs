//! URLs, waiting times, and what the interface's codes mean.

use super::*;

#[test]
fn base_url_is_split_and_joined_without_double_slashes() {
    for (base, path, expected) in [
        ("http://h:8080/fhir", "Patient/1", Some("/fhir/Patient/1")),
        ("http://h:8080/fhir/", "", Some("/fhir")),
        ("http://h:8080/fhir", "/", Some("/fhir/")),
        ("http://h:8080/fhir/", "/", Some("/fhir/")),
        ("https://h", "/", Some("/")),
        ("https://h", "metadata", Some("/metadata")),
        ("https://h/", "", Some("/")),
        ("ftp://h/", "", None),
        ("http://user:secret@h/", "", None),
        ("http:///x", "", None),
        ("h/x", "", None),
    ] {
        assert_eq!(Client::new(base).map(|client| client.path_with_query(path)).as_deref(), expected, "{base}");
    }
}

#[test]
fn retry_after_is_seconds_or_a_date_relative_to_the_response_date() {
    let date = ("date".to_owned(), "Sun, 06 Nov 1994 08:49:37 GMT".to_owned());
    for (value, dated, expected) in [
        ("3", false, Some(3000)),
        (" 0 ", false, Some(0)),
        ("Sun, 06 Nov 1994 08:51:37 GMT", true, Some(120_000)),
        ("Sun, 06 Nov 1994 08:40:00 GMT", true, Some(0)),
        ("Sun, 06 Nov 1994 08:51:37 GMT", false, None),
        ("soon", true, None),
    ] {
        let mut response = Response { status: 429, ..Response::default() };
        response.headers.push(("retry-after".to_owned(), value.to_owned()));
        if dated {
            response.headers.push(date.clone());
        }
        assert_eq!(response.retry_after_ms(), expected, "{value}");
    }
}

#[test]
fn http_dates_count_leap_years() {
    assert_eq!(http_date_s("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
    assert_eq!(http_date_s("Tue, 29 Feb 2000 12:00:00 GMT"), Some(951_825_600));
    assert_eq!(http_date_s("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
    assert_eq!(http_date_s("Sun, 06 Nov 1994 08:49:37 CET"), None);
}

#[test]
fn status_codes_map_to_kinds_that_an_adapter_can_act_on() {
    assert_eq!(error_of(&ErrorCode::HttpResponseTimeout), Error::Timeout);
    assert!(matches!(error_of(&ErrorCode::ConnectionRefused), Error::ConnectionFailed(_)));
    assert!(matches!(error_of(&ErrorCode::HttpRequestDenied), Error::Refused(_)));
    assert!(
        matches!(error_of(&ErrorCode::InternalError(Some("Kim".to_owned()))), Error::Broken(text) if !text.contains("Kim"))
    );
}

#[test]
fn an_undecodable_response_is_reported_with_its_coding_and_the_fix() {
    let told =
        |coding: Option<&str>| error_of(&ErrorCode::HttpResponseContentCoding(coding.map(str::to_owned))).to_string();
    assert!(told(Some("br")).starts_with("the answer is packed as `br`,"), "{}", told(Some("br")));
    assert!(told(Some("gzip, gzip")).contains("`gzip, gzip`") && told(Some("zstd")).contains("fix: "));
    assert!(told(None).contains("cannot be unpacked") && !told(None).contains("connection"), "{}", told(None));
    let odd = told(Some(&format!("x\u{1b}[31m`\n{}", "y".repeat(300))));
    assert!(odd.starts_with("the answer is packed as `x31my") && odd.len() < 250, "{odd}");
}

#[test]
fn header_names_are_found_in_any_case() {
    let response = Response { status: 200, headers: vec![("etag".to_owned(), "W/\"1\"".to_owned())], body: Vec::new() };
    assert_eq!(response.header("ETag"), Some("W/\"1\""));
    assert_eq!(response.header("location"), None);
}
