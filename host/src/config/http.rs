//! `[targets.NAME.http]`: an HTTP target, and the credentials that the host adds.

use std::net::IpAddr;
use std::path::PathBuf;

use url::{Host, Url};

use super::authentication::{Authentication, SecretSource, read_authentication, read_secret};
use super::limits::Limits;
use super::section_reader::SectionReader;
use crate::domain::headers::check_added;
use crate::domain::limits::HTTP_TIMEOUT_MS_DEFAULT;
use crate::domain::words::one_of;
use crate::vocabulary;

vocabulary! {
    /// The methods that a request may have. TRACE, CONNECT and all others are never allowed.
    pub enum HttpMethod {
        /// Reads.
        Get = "GET",
        /// Reads the headers only.
        Head = "HEAD",
        /// Asks which methods are possible.
        Options = "OPTIONS",
        /// Creates, searches, or sends a bundle.
        Post = "POST",
        /// Replaces a resource.
        Put = "PUT",
        /// Changes parts of a resource.
        Patch = "PATCH",
        /// Deletes.
        Delete = "DELETE",
    }
}

/// The default deadline of a call, as a multiple of `timeout_ms`.
const REQUESTS_IN_A_ROW: u64 = 3;

/// The maximum number of headers that the host adds, without the credentials.
const HEADERS_MAX: usize = 32;

/// The address, limits and credentials of an HTTP target.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// `http` or `https`, without user, query and fragment. Requests must stay below it.
    pub base_url: Url,
    /// The methods that the adapter may use; never empty.
    pub methods: Vec<HttpMethod>,
    /// Whether the name may resolve to a loopback, private or link-local address.
    pub allow_private: bool,
    /// The time for one request, from connecting to the end of the response.
    pub timeout_ms: u64,
    /// How long the server may still be processing a request whose response never came.
    pub in_doubt_ms: u64,
    /// The absolute path of further trusted certificates (PEM).
    pub ca_file: Option<PathBuf>,
    /// The credentials that the host adds to every request.
    pub authentication: Authentication,
    /// Further headers of every request, as secret as the credentials: a tenant, a gateway's key.
    pub headers: Vec<(String, SecretSource)>,
}

impl HttpConfig {
    /// The base URL without a trailing slash, as adapters get it.
    #[must_use]
    pub fn base_url_text(&self) -> &str {
        self.base_url.as_str().trim_end_matches('/')
    }
}

/// Reads the section. A call may make several requests, so an unset deadline becomes a multiple of `timeout_ms`.
pub(super) fn read_http(mut http: SectionReader<'_>, limits: &mut Limits, deadline_is_set: bool) -> Option<HttpConfig> {
    let allow_private = http.boolean("allow_private", false);
    let base_url = read_base_url(&mut http, allow_private);
    let methods = read_methods(&mut http);
    let timeout_ms = http.integer("timeout_ms", 100..=600_000, HTTP_TIMEOUT_MS_DEFAULT);
    if !deadline_is_set {
        limits.call.deadline_ms = limits.call.deadline_ms.max(timeout_ms * REQUESTS_IN_A_ROW);
    } else if http.has("timeout_ms") && timeout_ms >= limits.call.deadline_ms {
        let message =
            format!("must be less than limits.deadline_ms ({}), which cuts a call off", limits.call.deadline_ms);
        http.note_key("timeout_ms", message);
    }
    let in_doubt_ms = http.integer("in_doubt_ms", 0..=3_600_000, 60_000);
    let ca_file = http.file("ca_file");
    let auth_present = http.has("auth");
    let auth = http.section("auth");
    let authentication = if auth.is_present() {
        read_authentication(auth, allow_private)
    } else {
        (!auth_present).then_some(Authentication::None)
    };
    let headers = read_headers(&mut http);
    http.finish(&[]);
    Some(HttpConfig {
        base_url: base_url?,
        methods,
        allow_private,
        timeout_ms,
        in_doubt_ms,
        ca_file,
        authentication: authentication?,
        headers,
    })
}

/// `headers`: a list of `{ name, value }` or `{ name, value_file }`.
fn read_headers(http: &mut SectionReader<'_>) -> Vec<(String, SecretSource)> {
    let mut headers: Vec<(String, SecretSource)> = Vec::new();
    for mut header in http.sections("headers") {
        if !header.has("name") {
            header.note_missing("name", "is missing, for example \"X-Tenant-ID\"");
        }
        let name = header.text("name").map(|entry| entry.value);
        let value = read_secret(&mut header, "value", "value_file");
        if let Some(name) = &name {
            if let Err(reason) = check_added(name) {
                header.note_key("name", reason);
            } else if headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                header.note_key("name", "is given twice");
            }
        }
        headers.extend(name.zip(value));
        header.finish(&[]);
    }
    if headers.len() > HEADERS_MAX {
        http.note_key("headers", format!("must be at most {HEADERS_MAX}"));
    }
    headers
}

fn read_methods(http: &mut SectionReader<'_>) -> Vec<HttpMethod> {
    if !http.has("methods") {
        return HttpMethod::ALL.to_vec();
    }
    let mut methods = Vec::new();
    for entry in http.texts("methods").unwrap_or_default() {
        match HttpMethod::from_word(&entry.value) {
            Some(method) => methods.push(method),
            None => http.note_key("methods", format!("must list {}", one_of(HttpMethod::WORDS))),
        }
    }
    methods
}

fn read_base_url(http: &mut SectionReader<'_>, allow_private: bool) -> Option<Url> {
    if !http.has("base_url") {
        http.note_missing("base_url", "is missing, for example \"https://fhir.example/fhir\"");
    }
    let text = http.url("base_url")?;
    let url = match Url::parse(text.expose()) {
        Ok(url) => url,
        Err(error) => {
            http.note_key("base_url", format!("is not a URL: {error}"));
            return None;
        }
    };
    if !matches!(url.scheme(), "http" | "https") {
        http.note_key("base_url", "must begin with http:// or https://");
    } else if !url.username().is_empty() || url.password().is_some() {
        http.note_key("base_url", "must not hold credentials: they belong into auth");
    } else if url.query().is_some() || url.fragment().is_some() {
        http.note_key("base_url", "must end with its path: no `?` and no `#`");
    } else if !allow_private && names_private_address(&url) {
        http.note_key("base_url", "is an address of this machine or a private network: set allow_private = true");
    } else {
        return Some(url);
    }
    None
}

/// Whether the URL itself names a private address. The addresses of a name are checked at every connection.
pub(super) fn names_private_address(url: &Url) -> bool {
    let address = match url.host() {
        Some(Host::Domain(name)) => return name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => address.to_canonical(),
        None => return false,
    };
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_unspecified(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unspecified() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}
