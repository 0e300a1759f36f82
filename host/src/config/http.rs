//! `[targets.NAME.http]`: a service that is spoken to over HTTP, and the credentials that the host adds.

use std::net::IpAddr;
use std::path::PathBuf;

use url::{Host, Url};

use super::reader::Reader;
use crate::domain::secret::Secret;

/// The largest secret file that is read.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// How a target is reached over HTTP.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// `http` or `https`, without user, query and fragment. Requests must stay below it.
    pub base_url: Url,
    /// Whether the name may resolve to a loopback, private or link-local address.
    pub allow_private: bool,
    /// For one request, from connecting to the end of the answer.
    pub timeout_ms: u64,
    /// Certificates (PEM) to trust beside the system's own. Absolute.
    pub ca_file: Option<PathBuf>,
    /// What the host adds to every request.
    pub authentication: Authentication,
}

/// Credentials that the host adds and the adapter never sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// Nothing is added.
    None,
    /// `Authorization: Bearer TOKEN`.
    Bearer {
        /// The token.
        token: SecretSource,
    },
    /// `Authorization: Basic ...`.
    Basic {
        /// The user, without a colon.
        username: String,
        /// The password.
        password: SecretSource,
    },
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// In the configuration, or in the variable that stands there.
    Value(Secret),
    /// In a file of its own, absolute, read whenever it is needed: so it may be renewed while the host runs.
    File(PathBuf),
}

impl SecretSource {
    /// The secret as it is now; white space around a file's content is not part of it.
    ///
    /// # Errors
    /// When the file cannot be read, is too large, is not UTF-8 or is empty.
    pub fn read(&self) -> std::io::Result<Secret> {
        use std::io::{Error, ErrorKind, Read};
        let path = match self {
            Self::Value(secret) => return Ok(secret.clone()),
            Self::File(path) => path,
        };
        let mut text = zeroize::Zeroizing::new(String::new());
        std::fs::File::open(path)?.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text)?;
        if text.len() as u64 > SECRET_BYTES_MAX || text.trim().is_empty() {
            return Err(Error::new(ErrorKind::InvalidData, "the file is empty or too large for a secret"));
        }
        Ok(Secret::new(text.trim().to_owned()))
    }
}

impl HttpConfig {
    /// The base URL without a slash at the end, as adapters get it.
    #[must_use]
    pub fn base_url_text(&self) -> &str {
        self.base_url.as_str().trim_end_matches('/')
    }
}

pub(super) fn read_http(mut http: Reader<'_>) -> Option<HttpConfig> {
    let allow_private = http.boolean("allow_private", false);
    let base_url = read_base_url(&mut http, allow_private);
    let timeout_ms = http.integer("timeout_ms", 100..=600_000, 10_000);
    let ca_file = http.file("ca_file");
    let auth_present = http.has("auth");
    let auth = http.section("auth");
    let authentication =
        if auth.is_present() { read_authentication(auth) } else { (!auth_present).then_some(Authentication::None) };
    http.finish(&[]);
    Some(HttpConfig { base_url: base_url?, allow_private, timeout_ms, ca_file, authentication: authentication? })
}

fn read_base_url(http: &mut Reader<'_>, allow_private: bool) -> Option<Url> {
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

/// Whether the URL itself names such an address. What a name resolves to is checked on every connection.
fn names_private_address(url: &Url) -> bool {
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

fn read_authentication(mut auth: Reader<'_>) -> Option<Authentication> {
    const TYPES: [&str; 3] = ["none", "bearer", "basic"];
    if !auth.has("type") {
        auth.note_missing("type", "is missing: write \"none\", \"bearer\" or \"basic\"");
    }
    let kind = auth.word("type", &TYPES, |word| TYPES.iter().copied().find(|known| *known == word));
    match kind {
        Some("none") => {
            auth.finish(&[]);
            Some(Authentication::None)
        }
        Some("bearer") => {
            let token = read_secret(&mut auth, "token", "token_file");
            auth.finish(&[]);
            Some(Authentication::Bearer { token: token? })
        }
        Some(_) => {
            if !auth.has("username") {
                auth.note_missing("username", "is missing");
            }
            let username = auth.text("username");
            if username.as_ref().is_some_and(|name| name.value.contains(|c: char| c == ':' || c.is_control())) {
                auth.note_key("username", "must not contain a colon or a control character");
            }
            let password = read_secret(&mut auth, "password", "password_file");
            auth.finish(&[]);
            Some(Authentication::Basic { username: username?.value, password: password? })
        }
        None => {
            auth.finish(&["token", "token_file", "username", "password", "password_file"]);
            None
        }
    }
}

/// A secret from exactly one of two keys.
fn read_secret(auth: &mut Reader<'_>, key: &'static str, file_key: &'static str) -> Option<SecretSource> {
    let value = auth.secret(key);
    let file = auth.file(file_key);
    match (auth.has(key), auth.has(file_key)) {
        (true, true) => auth.note_key(file_key, format!("stands beside {key}: give one of them")),
        (false, false) => auth.note_missing(key, format!("is missing, and so is {file_key}: give one of them")),
        _ => {}
    }
    if value.as_ref().is_some_and(|secret| secret.expose().chars().any(char::is_control)) {
        auth.note_key(key, "must not contain a line break or another control character");
    }
    value.map(SecretSource::Value).or(file.map(SecretSource::File))
}
