//! Which headers are the host's own, and which the operator may have added: no spelling leads around it.
//!
//! Input: a header's name, a line break, its value.

use host::domain::headers::{check_added, is_closed_to_adapters, is_same};
use host::plugin::fuzzing::header_value;
use http::{HeaderMap, HeaderName};

use crate::said::{assert_plain, assert_unmarked};

/// What must never come from an adapter, in the spelling that gateways and frameworks fold all others to.
const NEVER: [&str; 16] = [
    "authorization",
    "connection",
    "cookie",
    "forwarded",
    "host",
    "proxy",
    "proxy-authorization",
    "te",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-http-method-override",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
];

/// See the module.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (name, value) = text.split_once('\n').unwrap_or((text, ""));
    check_name(name);
    check_value(value);
}

fn check_name(name: &str) {
    let closed = is_closed_to_adapters(name);
    let folded = name.to_ascii_lowercase().replace('_', "-");
    for other in [name.to_ascii_uppercase(), name.to_ascii_lowercase(), name.replace('-', "_"), folded.clone()] {
        assert_eq!(is_closed_to_adapters(&other), closed, "`{name}` and `{other}`");
        assert!(is_same(name, &other), "`{name}` and `{other}`");
    }
    assert!(closed || !NEVER.contains(&folded.as_str()), "`{name}` is open to adapters");
    match check_added(name) {
        Ok(()) => {
            let parsed = HeaderName::from_bytes(name.as_bytes()).expect("what may be added is the name of a header");
            assert!(name.len() <= 128 && parsed.as_str().eq_ignore_ascii_case(name));
            let lower = name.to_ascii_lowercase();
            assert!(!["host", "authorization", "content-length", "transfer-encoding"].contains(&lower.as_str()));
        }
        Err(reason) => assert_plain(reason, 200),
    }
}

fn check_value(value: &str) {
    match header_value(value) {
        Ok(header) => {
            assert_eq!(header.as_bytes(), value.as_bytes());
            assert!(!value.contains(['\r', '\n', '\0']), "a value that begins another line: {value:?}");
            assert!(header.is_sensitive());
            let headers = HeaderMap::from_iter([(http::header::AUTHORIZATION, header)]);
            assert_unmarked(&format!("{headers:?}"));
        }
        Err(reason) => {
            assert_plain(&reason, 200);
            assert_unmarked(&reason);
        }
    }
}
