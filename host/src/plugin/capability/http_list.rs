//! The allow-list of an HTTP target: scheme, host, port and path prefix.

use std::net::IpAddr;

use url::{Host, Url};

use super::http_address::may_dial;

/// Why a request is not let out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plugin) enum Refusal {
    /// The URL is not one, or could be read in two ways.
    Malformed,
    /// It is not on the list.
    NotListed,
    /// Its address may not be dialled.
    Address,
}

/// Everything under one URL.
#[derive(Clone, Debug)]
struct Prefix {
    url: Url,
    /// Without a trailing slash; empty for the whole host.
    path: String,
}

/// What may be asked for.
#[derive(Clone, Debug)]
pub(in crate::plugin) struct AllowList {
    prefixes: Vec<Prefix>,
    allow_private: bool,
}

impl AllowList {
    /// Reads the operator's URLs; the error says what is wrong with which.
    pub(in crate::plugin) fn new<'a>(
        urls: impl IntoIterator<Item = &'a str>,
        allow_private: bool,
    ) -> Result<Self, String> {
        let prefixes = urls.into_iter().map(read_prefix).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { prefixes, allow_private })
    }

    /// The URL to send, if the request may go out.
    pub(in crate::plugin) fn check(&self, uri: &http::Uri) -> Result<Url, Refusal> {
        if uri.authority().is_none_or(|authority| authority.as_str().contains('@')) || is_ambiguous(uri.path()) {
            return Err(Refusal::Malformed);
        }
        let url = Url::parse(&uri.to_string()).map_err(|_| Refusal::Malformed)?;
        // What was checked must be what is sent.
        if url.path() != uri.path() && !(url.path() == "/" && uri.path().is_empty()) {
            return Err(Refusal::Malformed);
        }
        if !self.prefixes.iter().any(|prefix| prefix.holds(&url)) {
            return Err(Refusal::NotListed);
        }
        let literal = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(_)) => None,
            None => return Err(Refusal::Malformed),
        };
        // Names are checked when they are resolved.
        match literal {
            Some(address) if !may_dial(address, self.allow_private) => Err(Refusal::Address),
            _ => Ok(url),
        }
    }
}

fn read_prefix(text: &str) -> Result<Prefix, String> {
    // The text is not repeated: a URL may hold a password.
    let url = Url::parse(text).map_err(|error| format!("the base URL is not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("the base URL has the scheme `{}`, expected http or https", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the base URL holds a user or password; put them into [targets.NAME.http.auth]".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("the base URL has a query or fragment; it is a prefix of paths".to_owned());
    }
    if is_ambiguous(url.path()) {
        return Err("the path of the base URL can be read in two ways".to_owned());
    }
    let path = url.path().trim_end_matches('/').to_owned();
    Ok(Prefix { url, path })
}

impl Prefix {
    fn holds(&self, url: &Url) -> bool {
        self.url.scheme() == url.scheme()
            && self.url.host() == url.host()
            && self.url.port_or_known_default() == url.port_or_known_default()
            && url.path().strip_prefix(&self.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// A path that a server could read in another way than it is written: dot segments, also encoded, padded or with
/// parameters; encoded or doubled separators; control characters; bytes that are no characters, as the longer forms of
/// `.` and `/` are; characters that some servers take for `.`, `/` or `\`.
fn is_ambiguous(path: &str) -> bool {
    let Some(decoded) = decoded(path) else { return true };
    path.contains('\\') || path.contains("//") || decoded.chars().any(char::is_control) || {
        let encoded_separators = decoded.matches(['/', '\\', '%']).count() != path.matches('/').count();
        encoded_separators || decoded.chars().any(is_look_alike) || decoded.split('/').any(is_dots)
    }
}

/// Each `%XX` as its byte, and all of it as text; `None` when it is neither.
fn decoded(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
            let (high, low) = (digit()?, digit()?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// Full-width and small forms, leaders, and other strokes.
fn is_look_alike(character: char) -> bool {
    matches!(
        character,
        '\u{2024}'
            ..='\u{2026}'
                | '\u{2044}'
                | '\u{2215}'
                | '\u{2216}'
                | '\u{29f5}'
                | '\u{29f8}'
                | '\u{29f9}'
                | '\u{fe52}'
                | '\u{fe68}'
                | '\u{ff0e}'
                | '\u{ff0f}'
                | '\u{ff3c}'
    )
}

/// Dots and nothing else, up to what a server may cut off.
fn is_dots(segment: &str) -> bool {
    let segment = segment.split([';', '?', '#', ',', ':']).next().unwrap_or_default();
    let is_padding = |character: char| character.is_whitespace() || ('\u{200b}'..='\u{200f}').contains(&character);
    let mut bare = segment.chars().filter(|character| !is_padding(*character)).peekable();
    bare.peek().is_some() && bare.all(|character| character == '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uri: &str) -> Result<String, Refusal> {
        let list =
            AllowList::new(["https://fhir.example.org/r4/", "http://127.0.0.1:8080", "http://10.0.0.1/x"], false)
                .unwrap();
        list.check(&uri.parse().unwrap()).map(String::from)
    }

    #[test]
    fn urls_under_the_prefix_are_allowed() {
        for uri in [
            "https://fhir.example.org/r4",
            "https://fhir.example.org/r4/",
            "https://fhir.example.org:443/r4/Patient/1?identifier=urn%3Ax%7C1%2F2",
            "https://FHIR.example.org/r4/Patient?a=../..",
            "https://fhir.example.org/r4/Patient/a.b/_history/1..2",
            "https://fhir.example.org/r4/$export;x=1",
            "https://fhir.example.org/r4/%EA%B9%80%20%EC%B2%A0",
        ] {
            assert!(check(uri).is_ok(), "{uri}");
        }
    }

    #[test]
    fn urls_outside_the_prefix_are_refused() {
        for uri in [
            "http://fhir.example.org/r4/Patient",
            "https://fhir.example.org/r4x/Patient",
            "https://fhir.example.org/",
            "https://fhir.example.org:8443/r4/Patient",
            "https://example.org/r4/Patient",
            "https://fhir.example.org.evil.test/r4/Patient",
            "http://127.0.0.1:8081/",
        ] {
            assert_eq!(check(uri), Err(Refusal::NotListed), "{uri}");
        }
    }

    #[test]
    fn ambiguous_urls_are_refused() {
        for uri in [
            "https://fhir.example.org/r4/../admin",
            "https://fhir.example.org/r4/%2e%2E/admin",
            "https://fhir.example.org/r4/..;/admin",
            "https://fhir.example.org/r4/%2fadmin",
            "https://fhir.example.org/r4//admin",
            "https://fhir.example.org/r4/%252e%252e/admin",
            "https://fhir.example.org/r4/..%3b/admin",
            "https://fhir.example.org/r4/..%3Ba=b/admin",
            "https://fhir.example.org/r4/..%20/admin",
            "https://fhir.example.org/r4/%20../admin",
            "https://fhir.example.org/r4/.%20./admin",
            "https://fhir.example.org/r4/..%09/admin",
            "https://fhir.example.org/r4/..%c2%a0/admin",
            "https://fhir.example.org/r4/..%e2%80%8b/admin",
            "https://fhir.example.org/r4/..%3f/admin",
            "https://fhir.example.org/r4/..%23/admin",
            "https://fhir.example.org/r4/.../admin",
            "https://fhir.example.org/r4/%c0%ae%c0%ae/admin",
            "https://fhir.example.org/r4/%e0%80%ae%e0%80%ae/admin",
            "https://fhir.example.org/r4/x%c0%afadmin",
            "https://fhir.example.org/r4/x%c1%9cadmin",
            "https://fhir.example.org/r4/%ef%bc%8e%ef%bc%8e/admin",
            "https://fhir.example.org/r4/x%ef%bc%8fadmin",
            "https://fhir.example.org/r4/%u002e%u002e/admin",
            "https://fhir.example.org/r4/x%0d%0aadmin",
            "https://fhir.example.org/r4/x%00",
            "https://fhir.example.org/r4/x%5cadmin",
            "https://fhir.example.org/r4/100%",
            "https://fhir.example.org@evil.test/r4/Patient",
            "https://user@fhir.example.org/r4/Patient",
        ] {
            assert_eq!(check(uri), Err(Refusal::Malformed), "{uri}");
        }
    }

    #[test]
    fn a_listed_private_address_still_needs_permission() {
        assert_eq!(check("http://127.0.0.1:8080/metadata"), Err(Refusal::Address));
        assert_eq!(check("http://10.0.0.1/x"), Err(Refusal::Address));
        let list = AllowList::new(["http://127.0.0.1:8080"], true).unwrap();
        assert!(list.check(&"http://127.0.0.1:8080/metadata".parse().unwrap()).is_ok());
        let list = AllowList::new(["http://169.254.169.254"], true).unwrap();
        assert_eq!(list.check(&"http://169.254.169.254/latest".parse().unwrap()), Err(Refusal::Address));
    }

    #[test]
    fn a_base_url_is_explained_without_its_password() {
        for (url, word) in [
            ("ftp://h/x", "scheme"),
            ("https://user:hunter2@h/x", "password"),
            ("https://h/x?a=b", "query"),
            ("not a url", "not a URL"),
        ] {
            let error = AllowList::new([url], false).unwrap_err();
            assert!(error.contains(word), "{error}");
            assert!(!error.contains("hunter2"));
        }
    }
}
