//! `auth` of `[targets.NAME.http]`: the host's credentials. Secrets come from variables or from files.

use std::path::PathBuf;

use url::Url;

use super::section_reader::SectionReader;
use crate::domain::secret::Secret;
use crate::domain::words::one_of;
use crate::vocabulary;

/// The largest secret file that is read.
const SECRET_BYTES_MAX: u64 = 64 << 10;

vocabulary! {
    /// `type` of the table.
    pub enum AuthenticationType {
        /// No credentials.
        None = "none",
        /// A token that stays the same.
        Bearer = "bearer",
        /// User and password.
        Basic = "basic",
        /// A fetched token, with a client's secret.
        ClientCredentials = "oauth2-client-credentials",
        /// A fetched token, with a signed assertion.
        BackendServices = "smart-backend-services",
    }
}

/// Credentials that the host adds to requests. The adapter never sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// No credentials.
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
    /// A token that the host fetches with OAuth 2.0 client credentials and a client secret.
    ClientCredentials {
        /// The endpoint and the client.
        grant: GrantConfig,
        /// The client's secret.
        client_secret: SecretSource,
        /// How the secret is sent.
        method: SecretMethod,
    },
    /// As `ClientCredentials`, with a signed assertion: SMART Backend Services.
    BackendServices {
        /// The endpoint and the client.
        grant: GrantConfig,
        /// The private key in PEM, always a file.
        private_key: SecretSource,
        /// The id of the key at the server (`kid`).
        key_id: String,
    },
}

impl Authentication {
    /// The value of `type`.
    #[must_use]
    pub fn kind(&self) -> AuthenticationType {
        match self {
            Self::None => AuthenticationType::None,
            Self::Bearer { .. } => AuthenticationType::Bearer,
            Self::Basic { .. } => AuthenticationType::Basic,
            Self::ClientCredentials { .. } => AuthenticationType::ClientCredentials,
            Self::BackendServices { .. } => AuthenticationType::BackendServices,
        }
    }
}

/// The settings that every way of fetching a token needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantConfig {
    /// The token endpoint; https, or http with `allow_private`.
    pub token_url: String,
    /// The client id of this host.
    pub client_id: String,
    /// The scopes, separated by spaces. Without them the server decides.
    pub scope: Option<String>,
    /// The audience of the token, for servers that need it (Auth0 and others).
    pub audience: Option<String>,
    /// The resource of the token (RFC 8707), for servers that need it.
    pub resource: Option<String>,
}

/// The source of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// A value in the configuration, or in a variable.
    Value(Secret),
    /// The absolute path of a file. It is read at each use, so the secret can be renewed while the host runs.
    File(PathBuf),
}

impl SecretSource {
    /// Reads the secret. White space around a file's content is removed.
    ///
    /// # Errors
    /// When the file cannot be read, is too large, is not UTF-8 or is empty.
    pub fn read(&self) -> std::io::Result<Secret> {
        use std::io::{Error, ErrorKind};
        let path = match self {
            Self::Value(secret) => return Ok(secret.clone()),
            Self::File(path) => path,
        };
        let text = zeroize::Zeroizing::new(crate::files::read_text(path, SECRET_BYTES_MAX)?);
        if text.trim().is_empty() {
            return Err(Error::new(ErrorKind::InvalidData, "the file is empty"));
        }
        Ok(Secret::new(text.trim().to_owned()))
    }
}

/// Reads the table. With `allow_private` the token endpoint may be without TLS.
pub(super) fn read_authentication(mut auth: SectionReader<'_>, allow_private: bool) -> Option<Authentication> {
    const WORDS: &[&str] = AuthenticationType::WORDS;
    if !auth.has("type") {
        let quoted: Vec<String> = WORDS.iter().map(|word| format!("\"{word}\"")).collect();
        let quoted: Vec<&str> = quoted.iter().map(String::as_str).collect();
        auth.note_missing("type", format!("is missing: write {}", one_of(&quoted)));
    }
    let kind = auth.word("type", WORDS, AuthenticationType::from_word);
    let read = match kind {
        Some(AuthenticationType::None) => Some(Authentication::None),
        Some(AuthenticationType::Bearer) => {
            read_secret(&mut auth, "token", "token_file").map(|token| Authentication::Bearer { token })
        }
        Some(AuthenticationType::Basic) => read_basic(&mut auth),
        Some(AuthenticationType::ClientCredentials) => {
            let grant = read_grant(&mut auth, allow_private);
            let client_secret = read_secret(&mut auth, "client_secret", "client_secret_file");
            let method = auth.word("client_secret_method", SecretMethod::WORDS, SecretMethod::from_word);
            let method = method.unwrap_or(SecretMethod::Basic);
            grant.zip(client_secret).map(|(grant, client_secret)| Authentication::ClientCredentials {
                grant,
                client_secret,
                method,
            })
        }
        Some(AuthenticationType::BackendServices) => read_backend_services(&mut auth, allow_private),
        None => {
            auth.finish(&ALL_KEYS);
            return None;
        }
    };
    auth.finish(&[]);
    read
}

const ALL_KEYS: [&str; 15] = [
    "token",
    "token_file",
    "username",
    "password",
    "password_file",
    "token_url",
    "client_id",
    "client_secret",
    "client_secret_file",
    "client_secret_method",
    "scope",
    "audience",
    "resource",
    "private_key_file",
    "key_id",
];

fn read_basic(auth: &mut SectionReader<'_>) -> Option<Authentication> {
    if !auth.has("username") {
        auth.note_missing("username", "is missing");
    }
    let username = auth.text("username");
    if username.as_ref().is_some_and(|name| name.value.contains(|c: char| c == ':' || c.is_control())) {
        auth.note_key("username", "must not contain a colon or a control character");
    }
    let password = read_secret(auth, "password", "password_file");
    Some(Authentication::Basic { username: username?.value, password: password? })
}

fn read_backend_services(auth: &mut SectionReader<'_>, allow_private: bool) -> Option<Authentication> {
    let grant = read_grant(auth, allow_private);
    for (key, message) in [
        ("private_key_file", "is missing: a file with the private key in PEM, RSA or P-384"),
        ("key_id", "is missing: the `kid` by which the server knows the key"),
    ] {
        if !auth.has(key) {
            auth.note_missing(key, message);
        }
    }
    let private_key = auth.file("private_key_file").map(SecretSource::File);
    let key_id = auth.text("key_id");
    Some(Authentication::BackendServices { grant: grant?, private_key: private_key?, key_id: key_id?.value })
}

fn read_grant(auth: &mut SectionReader<'_>, allow_private: bool) -> Option<GrantConfig> {
    for key in ["token_url", "client_id"] {
        if !auth.has(key) {
            auth.note_missing(key, "is missing");
        }
    }
    let token_url = auth.text("token_url").map(|entry| entry.value);
    let client_id = auth.text("client_id");
    let scope = auth.text("scope").map(|entry| entry.value);
    let audience = auth.text("audience").map(|entry| entry.value);
    let resource = auth.text("resource").map(|entry| entry.value);
    if let Some(text) = &token_url {
        match Url::parse(text) {
            Ok(url) if !url.username().is_empty() || url.password().is_some() || url.query().is_some() => {
                auth.note_key("token_url", "must hold neither credentials nor a query");
            }
            Ok(url) if url.scheme() == "https" || (url.scheme() == "http" && allow_private) => {}
            Ok(_) => auth.note_key("token_url", "must begin with https:// (http:// needs allow_private = true)"),
            Err(error) => auth.note_key("token_url", format!("is not a URL: {error}")),
        }
    }
    Some(GrantConfig { token_url: token_url?, client_id: client_id?.value, scope, audience, resource })
}

vocabulary! {
    /// How a client's secret is sent to the token endpoint, in OpenID Connect's terms.
    pub enum SecretMethod {
        /// In the header `Authorization`.
        Basic = "client_secret_basic",
        /// In the body.
        Post = "client_secret_post",
    }
}

/// A secret from exactly one of two keys.
pub(super) fn read_secret(
    auth: &mut SectionReader<'_>,
    key: &'static str,
    file_key: &'static str,
) -> Option<SecretSource> {
    let value = auth.secret(key);
    let file = auth.file(file_key);
    match (auth.has(key), auth.has(file_key)) {
        (true, true) => auth.note_key(file_key, format!("is given together with {key}; fix: give one of them")),
        (false, false) => auth.note_missing(key, format!("is missing, and so is {file_key}; fix: give one of them")),
        _ => {}
    }
    if value.as_ref().is_some_and(|secret| secret.expose().chars().any(char::is_control)) {
        auth.note_key(key, "must not contain a line break or another control character");
    }
    value.map(SecretSource::Value).or(file.map(SecretSource::File))
}
