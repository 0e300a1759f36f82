//! The URL of a database. No message shows its password.

use std::fmt;
use std::path::{Path, PathBuf};

use url::Url;

use super::is_loopback;
use crate::domain::database_parameters::{self, Server, Tls};
use crate::domain::secret::Secret;
use crate::vocabulary;

vocabulary! {
    /// The supported databases. `mysql` covers MySQL and MariaDB.
    pub enum DatabaseKind {
        /// A file, no server.
        Sqlite = "sqlite",
        /// MySQL 8 or MariaDB 10.6 and later.
        Mysql = "mysql",
        /// PostgreSQL 14 and later.
        Postgres = "postgres",
    }
}

/// The location of a database. `Display` and `Debug` hide the password.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// The absolute path of a SQLite file, which need not exist yet.
    Sqlite(PathBuf),
    /// A server.
    Server(ServerUrl),
}

/// The complete address of a database server.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    kind: DatabaseKind,
    url: Secret,
    user: String,
    host: String,
    port: u16,
    database: String,
    is_socket: bool,
    may_use_tls: bool,
}

impl DatabaseUrl {
    /// Reads a URL. A relative SQLite path begins at `directory`.
    ///
    /// # Errors
    /// A lower-case fragment with the problem, never with the password.
    pub fn parse(text: &Secret, directory: &Path) -> Result<Self, String> {
        let (scheme, rest) = text.expose().split_once(':').ok_or_else(unknown_scheme)?;
        let kind = match scheme {
            "sqlite" => return sqlite(rest.strip_prefix("//").unwrap_or(rest), directory),
            "mysql" | "mariadb" => DatabaseKind::Mysql,
            "postgres" | "postgresql" => DatabaseKind::Postgres,
            _ => return Err(unknown_scheme()),
        };
        ServerUrl::parse(kind, rest, directory).map(Self::Server)
    }

    /// The kind of database.
    #[must_use]
    pub fn kind(&self) -> DatabaseKind {
        match self {
            Self::Sqlite(_) => DatabaseKind::Sqlite,
            Self::Server(server) => server.kind,
        }
    }

    /// The URL without password and parameters, for messages.
    #[must_use]
    pub fn redacted(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite://{}", path.display()),
            Self::Server(ServerUrl { kind, user, host, port, database, .. }) => {
                let user = if user.is_empty() { String::new() } else { format!("{user}:***@") };
                format!("{kind}://{user}{host}:{port}/{database}")
            }
        }
    }

    /// The files with certificates that its parameters name, absolute.
    #[must_use]
    pub fn certificate_files(&self) -> Vec<PathBuf> {
        let Self::Server(server) = self else { return Vec::new() };
        let Ok(url) = Url::parse(server.expose()) else { return Vec::new() };
        let is_file = |name: &str| matches!(name, "ssl-ca" | "ssl-cert" | "sslrootcert" | "sslcert");
        let named = url.query_pairs().filter(|(name, _)| is_file(&name.to_lowercase().replace('_', "-")));
        named.map(|(_, path)| PathBuf::from(path.into_owned())).collect()
    }

    /// Whether the data stays on this machine: a file, or a server on loopback.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Sqlite(_) => true,
            Self::Server(server) => server.is_socket || is_loopback(&server.host),
        }
    }
}

impl ServerUrl {
    fn parse(kind: DatabaseKind, rest: &str, directory: &Path) -> Result<Self, String> {
        if has_unencoded_password(rest) {
            return Err(format!(
                "has a user or password with one of the characters `@ / ? #`: percent-encode it (%40, %2F, %3F, %23), or \
                 write {kind}://USER:${{DB_PASSWORD}}@HOST/DATABASE and set the variable: it is encoded by itself"
            ));
        }
        if has_bare_ipv6(rest) {
            return Err(format!(
                "has an IPv6 address without brackets: write {kind}://USER:PASSWORD@[ADDRESS]:PORT/DATABASE"
            ));
        }
        let text = Secret::new(format!("{kind}:{rest}"));
        let url = Url::parse(text.expose()).map_err(|error| format!("is not a URL: {error}"))?;
        let host = url.host_str().unwrap_or_default().to_owned();
        if host.is_empty() {
            return Err(format!("names no host: write {kind}://USER:PASSWORD@HOST:PORT/DATABASE"));
        }
        let database = url.path().trim_matches('/').to_owned();
        if database.is_empty() || database.contains('/') {
            return Err(format!("names no database: write {kind}://USER:PASSWORD@HOST:PORT/DATABASE"));
        }
        let (server, port) = match kind {
            DatabaseKind::Postgres => (Server::Postgres, 5432),
            DatabaseKind::Mysql | DatabaseKind::Sqlite => (Server::Mysql, 3306),
        };
        let parameters = database_parameters::read(server, &url)?;
        let port = url.port().unwrap_or(port);
        let user = url.username().to_owned();
        let url = with_absolute_files(url, server, directory)?;
        let is_socket = parameters.is_socket;
        // PostgreSQL encrypts no socket.
        let may_use_tls = parameters.tls != Some(Tls::Off) && !(is_socket && server == Server::Postgres);
        Ok(Self { kind, user, host, port, database, is_socket, may_use_tls, url })
    }

    /// The whole URL with the password, for the driver only. Its scheme is `mysql` or `postgres`.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.url.expose()
    }

    /// The kind of server; never SQLite.
    #[must_use]
    pub fn kind(&self) -> DatabaseKind {
        self.kind
    }

    /// The host's name or address, IPv6 in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; the default of the kind when the URL names none.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether connections are encrypted, or would be if the server offers it.
    #[must_use]
    pub fn may_use_tls(&self) -> bool {
        self.may_use_tls
    }

    /// The user, percent-encoded as in the URL; empty when the URL names none.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The database's name, percent-encoded as in the URL.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }
}

/// Whether an unencoded password was parsed as path, parameter or fragment. The signs are an `@` after the authority,
/// or a `#`, which no database URL contains.
fn has_unencoded_password(rest: &str) -> bool {
    let rest = rest.trim_start_matches('/');
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    rest[end..].contains('@') || rest.contains('#')
}

/// Whether the host is an IPv6 address without brackets, so that a port cannot be told from it.
fn has_bare_ipv6(rest: &str) -> bool {
    let authority = rest.trim_start_matches('/').split(['/', '?']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let is_part = |character: char| character.is_ascii_hexdigit() || matches!(character, ':' | '.');
    host.matches(':').count() > 1 && host.chars().all(is_part)
}

/// Makes the paths of certificates and keys absolute; relative ones begin at the configuration's folder.
fn with_absolute_files(mut url: Url, server: Server, directory: &Path) -> Result<Secret, String> {
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    if pairs.iter().any(|(key, _)| server.names_file(key)) {
        let mut absolute = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            if !server.names_file(&key) {
                absolute.push((key, value));
                continue;
            }
            let path = directory.join(&value);
            if !path.is_file() {
                // The path is not shown: any part of a URL may belong to its password.
                return Err(format!("names a file in `{key}` that is not there; it begins at the folder of this file"));
            }
            absolute.push((key, path.to_string_lossy().into_owned()));
        }
        url.query_pairs_mut().clear().extend_pairs(absolute);
    }
    Ok(Secret::new(url.to_string()))
}

fn unknown_scheme() -> String {
    "must begin with sqlite://, mysql://, mariadb://, postgres:// or postgresql://".to_owned()
}

fn sqlite(path: &str, directory: &Path) -> Result<DatabaseUrl, String> {
    if path.is_empty() || path == ":memory:" {
        return Err(
            "must name a file, for example sqlite://.host/host.db: a database in memory would be lost".to_owned()
        );
    }
    if path.contains('?') {
        return Err("must be a path alone: no parameters behind `?`".to_owned());
    }
    let joined = directory.join(without_slash_before_drive(path));
    Ok(DatabaseUrl::Sqlite(std::path::absolute(&joined).unwrap_or(joined)))
}

/// Removes the slash before a drive letter: on Windows an absolute path is often written `sqlite:///C:/data/host.db`.
fn without_slash_before_drive(path: &str) -> &str {
    match path.as_bytes() {
        [b'/', drive, b':', ..] if cfg!(windows) && drive.is_ascii_alphabetic() => &path[1..],
        _ => path,
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.redacted())
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.redacted())
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&DatabaseUrl::Server(self.clone()).redacted())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<DatabaseUrl, String> {
        DatabaseUrl::parse(&Secret::new(text.to_owned()), Path::new("/etc/host"))
    }

    #[test]
    fn urls_are_parsed_and_shown_without_their_password() {
        for (text, kind, shown, local) in [
            ("mysql://u:SECRET@db.example/app", "mysql", "mysql://u:***@db.example:3306/app", false),
            (
                "mariadb://u:SECRET@127.0.0.1:3307/app?ssl-mode=required",
                "mysql",
                "mysql://u:***@127.0.0.1:3307/app",
                true,
            ),
            ("postgresql://u:SECRET@[::1]/app", "postgres", "postgres://u:***@[::1]:5432/app", true),
            ("postgres://localhost/app", "postgres", "postgres://localhost:5432/app", true),
            ("mysql://u:S%40CRET@h/app", "mysql", "mysql://u:***@h:3306/app", false),
        ] {
            let url = parse(text).unwrap();
            assert_eq!((url.kind().as_str(), url.redacted().as_str(), url.is_local()), (kind, shown, local));
            assert!(!format!("{url:?} {url}").contains("SECRET"));
        }
        let DatabaseUrl::Server(server) = parse("mariadb://u:p%40@h/app?ssl-mode=required").unwrap() else {
            panic!("a file")
        };
        assert_eq!(server.expose(), "mysql://u:p%40@h/app?ssl-mode=required");
        assert!(!format!("{server:?}").contains("p%40"));
    }

    #[cfg(unix)]
    #[test]
    fn connections_may_use_tls_unless_it_is_off_or_postgres_is_reached_over_a_socket() {
        for (text, expected) in [
            ("mysql://u:p@db.example/app", true),
            ("mysql://u:p@127.0.0.1/app", true),
            ("mysql://u:p@localhost/app?socket=/run/mysqld.sock", true),
            ("mysql://u:p@db.example/app?ssl-mode=disabled", false),
            ("postgres://u:p@db.example/app", true),
            ("postgres://u:p@127.0.0.1/app?sslmode=prefer", true),
            ("postgres://u:p@db.example/app?sslmode=disable", false),
            ("postgres://u:p@%2Frun%2Fpostgresql/app", false),
        ] {
            let DatabaseUrl::Server(server) = parse(text).unwrap() else { panic!("a file") };
            assert_eq!(server.may_use_tls(), expected, "{text}");
        }
    }

    #[test]
    fn sqlite_paths_are_relative_to_the_configuration_folder() {
        for (text, path) in [
            ("sqlite://.host/host.db", "/etc/host/.host/host.db"),
            ("sqlite:./host.db", "/etc/host/host.db"),
            ("sqlite:///var/lib/host.db", "/var/lib/host.db"),
            ("sqlite://a folder/환자.db", "/etc/host/a folder/환자.db"),
        ] {
            assert_eq!(parse(text).unwrap(), DatabaseUrl::Sqlite(path.into()), "{text}");
        }
    }

    #[test]
    fn an_invalid_database_url_is_refused_without_showing_the_password() {
        for text in [
            "oracle://u:SECRET@h/app",
            "SECRET",
            "",
            "mysql://u:SECRET@/app",
            "mysql://u:SECRET@h",
            "mysql://u:SECRET@h/",
            "mysql://u:SECRET@h:99999/app",
            "mysql://u:SECRET/x@h/app",
            "sqlite://",
            "sqlite::memory:",
            "sqlite://x.db?mode=ro",
            "mysql://u@h/app?ssl_mode=SECRET",
            "mysql://u:SECRET@h/app?ssl-ca=missing.pem",
        ] {
            let error = parse(text).unwrap_err();
            assert!(!error.contains("SECRET"), "{text}: {error}");
        }
    }

    #[test]
    fn an_ipv6_address_without_brackets_is_refused_with_the_fix() {
        for host in ["::1", "::1:34901", "2001:db8::2", "2001:db8::2:5432", "::ffff:10.0.0.1"] {
            for scheme in ["mysql", "postgres"] {
                let error = parse(&format!("{scheme}://root:SECRET@{host}/db")).unwrap_err();
                assert!(
                    error.contains("IPv6 address without brackets") && error.contains("@[ADDRESS]:PORT"),
                    "{error}"
                );
                assert!(!error.contains("SECRET"), "{error}");
            }
        }
        for text in ["mysql://root@[::1]:34901/db", "mysql://a:b@10.0.0.1:3306/db", "mysql://root@::1:34901/db"] {
            let is_told = parse(text).is_err_and(|error| error.contains("brackets"));
            assert_eq!(is_told, text.contains("@::1"), "{text}");
        }
    }

    #[test]
    fn an_unencoded_password_is_reported_with_the_fix_and_not_shown() {
        for password in
            ["SECRET/HIDDEN", "SECRET#HIDDEN", "SECRET?HIDDEN", "7788/SECRET", "77#88", "1@SECRET/2", "a/SECRET@b"]
        {
            for scheme in ["mysql", "postgres"] {
                let error = parse(&format!("{scheme}://user:{password}@db.example/app")).unwrap_err();
                for part in ["SECRET", "HIDDEN", "77", "88"] {
                    assert!(!error.contains(part), "{password}: {error}");
                }
                assert!(error.contains("percent-encode") && error.contains("${DB_PASSWORD}"), "{error}");
            }
        }
        let url = parse("mysql://u:SECRET@HIDDEN@h/app").unwrap();
        assert_eq!(url.redacted(), "mysql://u:***@h:3306/app", "the last `@` ends the password");
    }

    #[test]
    fn certificate_paths_are_relative_to_the_configuration_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), "").unwrap();
        let text = Secret::new("mysql://u:p@h/app?ssl-mode=verify_ca&ssl-ca=ca.pem".to_owned());
        let DatabaseUrl::Server(server) = DatabaseUrl::parse(&text, folder.path()).unwrap() else { panic!("a file") };
        let url = Url::parse(server.expose()).unwrap();
        let (_, file) = url.query_pairs().find(|(key, _)| key == "ssl-ca").unwrap();
        assert_eq!(Path::new(&*file), folder.path().join("ca.pem"));
    }
}
