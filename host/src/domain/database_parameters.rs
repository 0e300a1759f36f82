//! The parameters after `?` in the URL of a database server, and the TLS mode that results.
//!
//! The drivers ignore unknown parameters, so a misspelt `ssl_mode` would connect in plain text. Here it is refused,
//! with the right name. Without a TLS parameter, TLS is required for every server that is not on this machine. No
//! message repeats any part of the URL except the name of a parameter.

use core::net::IpAddr;
use std::borrow::Cow;

use url::{Host, Url};

/// The kinds of database servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// MySQL and MariaDB.
    Mysql,
    /// PostgreSQL.
    Postgres,
}

/// How a connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Never encrypted.
    Off,
    /// Encrypted if the server offers it.
    Preferred,
    /// Always encrypted, with any certificate.
    Required,
    /// Always encrypted, with a certificate of a known authority.
    VerifyAuthority,
    /// Always encrypted, with a certificate of a known authority for the URL's host.
    VerifyHost,
}

/// Canonical names of the accepted parameters. `true` marks the name of a file.
const MYSQL: &[(&str, bool)] = &[
    ("ssl-mode", false),
    ("ssl-ca", true),
    ("ssl-cert", true),
    ("ssl-key", true),
    ("socket", false),
    ("statement-cache-capacity", false),
];
const POSTGRES: &[(&str, bool)] = &[
    ("sslmode", false),
    ("sslrootcert", true),
    ("sslcert", true),
    ("sslkey", true),
    ("host", false),
    ("options", false),
    ("statement-cache-capacity", false),
];

/// The values of the TLS parameter, as each server's own programs spell them.
const MYSQL_TLS: &[(&str, Tls)] = &[
    ("disabled", Tls::Off),
    ("preferred", Tls::Preferred),
    ("required", Tls::Required),
    ("verify_ca", Tls::VerifyAuthority),
    ("verify_identity", Tls::VerifyHost),
];
const POSTGRES_TLS: &[(&str, Tls)] = &[
    ("disable", Tls::Off),
    ("prefer", Tls::Preferred),
    ("require", Tls::Required),
    ("verify-ca", Tls::VerifyAuthority),
    ("verify-full", Tls::VerifyHost),
];

/// The parsed parameters of one URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// The TLS mode, if the URL sets one.
    pub tls: Option<Tls>,
    /// Whether the connection uses a socket file of this machine.
    pub is_socket: bool,
}

impl Server {
    fn known(self) -> &'static [(&'static str, bool)] {
        match self {
            Self::Mysql => MYSQL,
            Self::Postgres => POSTGRES,
        }
    }

    fn tls_words(self) -> &'static [(&'static str, Tls)] {
        match self {
            Self::Mysql => MYSQL_TLS,
            Self::Postgres => POSTGRES_TLS,
        }
    }

    /// Whether a parameter names a file.
    #[must_use]
    pub fn names_file(self, key: &str) -> bool {
        self.canonical(key).is_some_and(|(_, is_file)| is_file)
    }

    /// The canonical name of a parameter. The drivers accept more spellings; here each setting has one.
    fn canonical(self, key: &str) -> Option<(&'static str, bool)> {
        let is_option = self == Self::Postgres && key.starts_with("options[") && key.ends_with(']');
        let name = if is_option { "options" } else { key };
        self.known().iter().find(|(known, _)| *known == name).copied()
    }

    fn names(self) -> String {
        let names: Vec<String> = self.known().iter().map(|(name, _)| format!("`{name}`")).collect();
        names.join(", ")
    }
}

/// Reads the parameters of a URL.
///
/// # Errors
/// A lower-case fragment. It names the first parameter that is unknown, repeated or has an unknown value, and the fix.
pub fn read(server: Server, url: &Url) -> Result<Parameters, String> {
    let mut found = Parameters { is_socket: is_encoded_path(url), ..Parameters::default() };
    let mut seen: Vec<&str> = Vec::new();
    for (key, value) in url.query_pairs() {
        let Some((name, _)) = server.canonical(&key) else { return Err(unknown(server, &key)) };
        if seen.contains(&name) && name != "options" {
            return Err(format!("has the parameter `{name}` twice"));
        }
        seen.push(name);
        match name {
            "ssl-mode" | "sslmode" => found.tls = Some(tls(server, name, &value)?),
            "socket" => found.is_socket = true,
            "host" if value.starts_with('/') => found.is_socket = true,
            "host" => {
                return Err("has the parameter `host` for something else than a socket's folder: write the host \
                                  before the `?`"
                    .to_owned());
            }
            "statement-cache-capacity" if value.parse::<u16>().is_err() => {
                return Err("needs a whole number for `statement-cache-capacity`".to_owned());
            }
            _ => {}
        }
    }
    Ok(found)
}

/// The TLS mode of a connection: as in the URL; otherwise required, unless the server is on this machine.
///
/// # Errors
/// As [`read`].
pub fn effective_tls(server: Server, url: &Url) -> Result<Tls, String> {
    let parameters = read(server, url)?;
    let is_here = parameters.is_socket || is_this_machine(url);
    Ok(parameters.tls.unwrap_or(if is_here { Tls::Preferred } else { Tls::Required }))
}

/// Whether the host is a loopback address. The URL standard does not know these schemes, so an address may be parsed as
/// a name.
#[must_use]
pub fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => {
            name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        None => true,
    }
}

/// The host as the operating system expects it: an IPv6 address without its brackets.
#[must_use]
pub fn bare_host(url: &Url) -> Option<Cow<'_, str>> {
    match url.host()? {
        Host::Domain(name) => Some(Cow::Borrowed(name)),
        Host::Ipv4(address) => Some(Cow::Owned(address.to_string())),
        Host::Ipv6(address) => Some(Cow::Owned(address.to_string())),
    }
}

/// Whether the host is the folder of a socket, as in `postgres://%2Fvar%2Frun%2Fpostgresql/db`.
fn is_encoded_path(url: &Url) -> bool {
    url.host_str().is_some_and(|host| host.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("%2f")))
}

fn tls(server: Server, name: &str, value: &str) -> Result<Tls, String> {
    let words = server.tls_words();
    // The drivers accept MySQL's values in any case, and PostgreSQL's in lower case only.
    let word = if server == Server::Mysql { value.to_ascii_lowercase() } else { value.to_owned() };
    words.iter().find(|(known, _)| *known == word).map(|(_, tls)| *tls).ok_or_else(|| {
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        format!("has an unknown `{name}`: write one of {}", words.join(", "))
    })
}

fn unknown(server: Server, key: &str) -> String {
    let is_plain =
        key.len() <= 40 && key.chars().all(|character| character.is_ascii_alphanumeric() || "_-.".contains(character));
    let what = if is_plain && !key.is_empty() {
        format!("has an unknown parameter `{key}`")
    } else {
        "has an unknown parameter".to_owned()
    };
    let plain = |text: &str| text.to_ascii_lowercase().replace(['-', '_', '.'], "");
    let (mode, required) = match server {
        Server::Mysql => ("ssl-mode", "required"),
        Server::Postgres => ("sslmode", "require"),
    };
    let word = match (server, plain(key)) {
        (Server::Mysql, word) if word == "sslrootcert" => "sslca".to_owned(),
        (Server::Postgres, word) if word == "sslca" => "sslrootcert".to_owned(),
        (_, word) => word,
    };
    if let Some((name, _)) = server.known().iter().find(|(name, _)| plain(name) == word) {
        return format!("{what}: write `{name}`");
    }
    if ["ssl", "tls", "secure", "encrypt", "certificate"].iter().any(|part| word.contains(part)) {
        return format!("{what}: TLS is requested by `{mode}={required}`, and by the other values of `{mode}`");
    }
    match word.as_str() {
        "user" | "username" | "password" | "port" | "hostaddr" | "dbname" | "database" => {
            format!("{what}: that belongs before the `?`")
        }
        "charset" | "characterset" | "characterencoding" | "collation" | "timezone" | "servertimezone"
        | "applicationname" => format!("{what}: the host sets that itself"),
        _ => format!("{what}: only {} are taken", server.names()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn tls_is_required_to_every_other_machine_unless_the_url_has_another_mode() {
        for (text, expected) in [
            ("mysql://u@db.example/x", Tls::Required),
            ("mysql://u@10.0.0.3/x", Tls::Required),
            ("mysql://u@[2001:db8::1]/x", Tls::Required),
            ("mysql://u@localhost/x", Tls::Preferred),
            ("mysql://u@127.0.0.1:3307/x", Tls::Preferred),
            ("mysql://u@[::1]/x", Tls::Preferred),
            ("mysql://u@db.example/x?socket=/run/mysqld.sock", Tls::Preferred),
            ("mysql://u@db.example/x?ssl-mode=DISABLED", Tls::Off),
            ("mysql://u@db.example/x?ssl-mode=preferred", Tls::Preferred),
            ("mysql://u@127.0.0.1/x?ssl-mode=verify_identity", Tls::VerifyHost),
        ] {
            assert_eq!(effective_tls(Server::Mysql, &url(text)), Ok(expected), "{text}");
        }
        for (text, expected) in [
            ("postgres://u@db.example/x", Tls::Required),
            ("postgres://u@[::1]/x", Tls::Preferred),
            ("postgres://%2Frun%2Fpostgresql/x", Tls::Preferred),
            ("postgres://u@db.example/x?sslmode=disable", Tls::Off),
            ("postgres://u@db.example/x?sslmode=verify-full", Tls::VerifyHost),
            ("postgres://u@db.example/x?options[search_path]=a&options[x]=b", Tls::Required),
        ] {
            assert_eq!(effective_tls(Server::Postgres, &url(text)), Ok(expected), "{text}");
        }
    }

    #[test]
    fn an_unknown_parameter_is_refused_with_the_right_name() {
        for (server, query, expected) in [
            (Server::Mysql, "ssl_mode=REQUIRED", "unknown parameter `ssl_mode`: write `ssl-mode`"),
            (Server::Mysql, "useSSL=true", "`useSSL`: TLS is requested by `ssl-mode=required`"),
            (Server::Mysql, "ssl=true", "`ssl`: TLS is requested by `ssl-mode=required`"),
            (Server::Mysql, "ssl-mode=yes", "unknown `ssl-mode`: write one of disabled, preferred, required"),
            (Server::Mysql, "ssl-mode=required&ssl-mode=disabled", "`ssl-mode` twice"),
            (Server::Mysql, "sslmode=required", "unknown parameter `sslmode`: write `ssl-mode`"),
            (Server::Mysql, "sslca=ca.pem", "unknown parameter `sslca`: write `ssl-ca`"),
            (Server::Mysql, "sslrootcert=ca.pem", "unknown parameter `sslrootcert`: write `ssl-ca`"),
            (Server::Postgres, "ssl-mode=require", "unknown parameter `ssl-mode`: write `sslmode`"),
            (Server::Postgres, "ssl-ca=ca.pem", "unknown parameter `ssl-ca`: write `sslrootcert`"),
            (Server::Mysql, "charset=latin1", "the host sets that itself"),
            (Server::Mysql, "password=SECRET", "belongs before the `?`"),
            (Server::Mysql, "nonsense=1", "`nonsense`: only `ssl-mode`, `ssl-ca`"),
            (Server::Mysql, "SE/CRET@h=1", "has an unknown parameter: only"),
            (Server::Postgres, "ssl_mode=require", "write `sslmode`"),
            (Server::Postgres, "sslmode=allow", "write one of disable, prefer, require"),
            (Server::Postgres, "sslmode=REQUIRE", "write one of disable, prefer, require"),
            (Server::Postgres, "host=other.example", "write the host before the `?`"),
            (Server::Postgres, "statement-cache-capacity=many", "whole number"),
        ] {
            let scheme = if server == Server::Mysql { "mysql" } else { "postgres" };
            let error = read(server, &url(&format!("{scheme}://u@h/x?{query}"))).unwrap_err();
            assert!(error.contains(expected) && !error.contains("CRET"), "{query}: {error}");
        }
    }

    #[test]
    fn an_ipv6_host_has_no_brackets_for_the_system() {
        for (text, expected) in [
            ("mysql://u@[::1]:3306/x", "::1"),
            ("postgres://u@[2001:db8::2]/x", "2001:db8::2"),
            ("mysql://u@db.example/x", "db.example"),
            ("mysql://u@127.0.0.1/x", "127.0.0.1"),
        ] {
            assert_eq!(bare_host(&url(text)).as_deref(), Some(expected));
        }
    }
}
