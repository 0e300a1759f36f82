//! `host.toml` with its `.env`: it is read or refused with lines, and no value of a variable is ever repeated.
//!
//! Input: `host.toml`, then, behind a line `=== .env`, the `.env`. The variables whose names begin with `SECRET` are
//! set.

use std::fs;
use std::time::Duration;

use host::config::{Authentication, Config, Connection, DatabaseUrl, SecretSource};

use crate::said::{MARK, assert_problems, assert_unmarked, is_marked, within};

/// What divides the two files.
const DIVIDER: &[u8] = b"\n=== .env\n";

/// See the module.
pub fn check(data: &[u8]) {
    let place = data.windows(DIVIDER.len()).position(|window| window == DIVIDER);
    let (text, variables) = place.map_or((data, None), |at| (&data[..at], Some(&data[at + DIVIDER.len()..])));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("host.toml");
    fs::write(&path, text).expect("write");
    if let Some(variables) = variables {
        fs::write(folder.path().join(".env"), variables).expect("write");
    }
    let environment = |name: &str| name.starts_with("SECRET").then(|| format!("{MARK}/@#"));
    match within(Duration::from_secs(5), || Config::load_with(&path, &environment)) {
        Ok(config) => assert_read(&config, data),
        Err(error) => {
            assert_problems(error.problems(), &[text, variables.unwrap_or_default()]);
            if !is_marked(text) {
                assert_unmarked(&error.to_string());
            }
        }
    }
}

fn assert_read(config: &Config, data: &[u8]) {
    for target in config.targets.values() {
        assert!(!target.aggregate_types.is_empty());
        if let Connection::Http(http) = &target.connection {
            let url = &http.base_url;
            assert!(matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none());
            assert!(!http.methods.is_empty());
        }
    }
    // Where each variable is at a place for secrets, nothing that is shown of the configuration has its value.
    let placeholders = data.windows(8).filter(|window| *window == b"${SECRET").count();
    if !is_marked(data) && placeholders == secrets(config) {
        assert_unmarked(&format!("{config:?}"));
    }
}

/// How many secrets hold the value of a variable.
fn secrets(config: &Config) -> usize {
    let of_url = |url: &DatabaseUrl| match url {
        DatabaseUrl::Server(server) => {
            let shown = [server.user(), server.host(), server.database()];
            usize::from(server.expose().contains(MARK) && !shown.iter().any(|part| part.contains(MARK)))
        }
        DatabaseUrl::Sqlite(_) => 0,
    };
    let of_source = |source: &SecretSource| match source {
        SecretSource::Value(secret) => usize::from(secret.expose().contains(MARK)),
        SecretSource::File(_) => 0,
    };
    let of_targets = config.targets.values().map(|target| match &target.connection {
        Connection::Database(database) => of_url(&database.url),
        Connection::Http(http) => {
            let own = match &http.authentication {
                Authentication::Bearer { token: secret }
                | Authentication::Basic { password: secret, .. }
                | Authentication::ClientCredentials { client_secret: secret, .. } => of_source(secret),
                Authentication::None | Authentication::BackendServices { .. } => 0,
            };
            own + http.headers.iter().map(|(_, source)| of_source(source)).sum::<usize>()
        }
    });
    of_url(&config.store.url) + of_targets.sum::<usize>()
}
