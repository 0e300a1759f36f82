//! Tests of the settings that a configuration accepts, and of the errors for an invalid one.
//!
//! A case is a folder of `tests/cases/config` with `host.toml` and `expected.txt`: the problems, one per line, or `ok`.

use super::*;
use crate::domain::ids::IdColumn;

fn environment(name: &str) -> Option<String> {
    match name {
        "OPENEMR_DB_USER" => Some("openemr".to_owned()),
        "OPENEMR_DB_PASSWORD" => Some("SECRET@/#".to_owned()),
        "OPENEMR_DB_HOST" => Some("openemr-db".to_owned()),
        "TOKEN" => Some("SECRET".to_owned()),
        _ => None,
    }
}

fn load(text: &str) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host.toml");
    std::fs::write(&path, text).unwrap();
    Config::load_with(&path, &environment)
}

#[cfg(unix)]
#[test]
fn hostile_world_writable_files_are_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    for name in ["host.toml", ".env"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host.toml");
        std::fs::write(&path, "[store]\nurl = \"sqlite://host.db\"\n").unwrap();
        std::fs::write(folder.path().join(".env"), "A=1\n").unwrap();
        assert!(Config::load_with(&path, &environment).is_ok());
        std::fs::set_permissions(folder.path().join(name), std::fs::Permissions::from_mode(0o666)).unwrap();
        let error = Config::load_with(&path, &environment).err().unwrap().to_string();
        assert!(error.contains(name) && error.contains("everybody on this machine may write to it"), "{error}");
    }
}

#[test]
fn no_message_shows_the_value_of_a_variable() {
    let text = "[store]\nurl = \"mysql://u:p@h/d?ssl-mode=verify_ca&ssl-ca=${TOKEN}\"\n[targets.f]\nadapter = \"f.wasm\"\n\
                [targets.f.http]\nbase_url = \"https://h/\"\nca_file = \"${TOKEN}\"\nauth = { type = \"bearer\", token_file = \"a/${TOKEN}\" }\n";
    let error = load(text).err().unwrap().to_string();
    assert_eq!(error.lines().count(), 3, "{error}");
    assert!(!error.contains("SECRET"), "{error}");
}

#[test]
fn control_characters_in_a_name_are_not_printed() {
    let text = "[store]\nurl = \"sqlite://a.db\"\n[targets.\"\\u001b[2J\\n\\u202e\"]\nadapter = 1\n";
    let error = load(text).err().unwrap();
    for problem in error.problems() {
        let shown = format!("{}{}", problem.field, problem.message);
        assert!(!shown.chars().any(crate::domain::words::is_unprintable), "{problem:?}");
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

#[test]
fn every_case_gives_the_expected_problems() {
    let mut cases: Vec<_> =
        std::fs::read_dir(root().join("tests/cases/config")).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    let mut failures = Vec::new();
    for case in &cases {
        let path = case.join("host.toml");
        let expected = std::fs::read_to_string(case.join("expected.txt")).unwrap().replace("\r\n", "\n");
        let found = match Config::load_with(&path, &environment) {
            Ok(_) => "ok".to_owned(),
            Err(error) => error.to_string().replace(&format!("{}{}", case.display(), std::path::MAIN_SEPARATOR), ""),
        };
        if found != expected.trim_end() || found.contains("SECRET") {
            failures.push(format!("== {}\n-- expected\n{}\n-- found\n{found}", case.display(), expected.trim_end()));
        }
    }
    assert!(cases.len() >= 12, "only {} cases found", cases.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_default_configuration_loads_without_edits_or_variables() {
    let config = Config::load_with(&root().join("host.toml"), &|_| None).unwrap();
    assert_eq!(config.store.url, DatabaseUrl::Sqlite(root().join(".host/host.db")));
    assert_eq!(config.plugins.cache, root().join(".host/cache"));
    let enabled: Vec<_> = config.enabled_targets().collect();
    assert_eq!(enabled.len(), 1);
    assert_eq!(enabled[0].adapter, root().join("target/adapters/openemr.wasm"));
    assert_eq!(enabled[0].id_column, Some(IdColumn::OpenemrPatientId));
    let Connection::Database(database) = &enabled[0].connection else { panic!("openemr is a database") };
    assert_eq!(database.url, DatabaseUrl::Sqlite(root().join(".host/openemr.db")));
    let fhir = &config.targets["fhir"];
    assert_eq!(fhir.settings["identifier_system"], "urn:neuronova:patient-id");
    let Connection::Http(http) = &fhir.connection else { panic!("fhir is HTTP") };
    assert_eq!(http.base_url_text(), "http://127.0.0.1:8080/fhir");
}

#[test]
fn defaults_match_the_documentation() {
    let documentation = std::fs::read_to_string(root().join("docs/configuration.md")).unwrap().replace("\r\n", "\n");
    let reference = documentation.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let minimal = "[store]\nurl = 'sqlite://.host/host.db'\n[targets.openemr]\nadapter = 'openemr.wasm'\n\
                   [targets.openemr.database]\nurl = 'sqlite://.host/openemr.db'\n[targets.fhir]\nadapter = 'fhir.wasm'\n\
                   [targets.fhir.http]\nbase_url = 'https://fhir.example/fhir'\n";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host.toml");
    let shown = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let mut config = Config::load_with(&path, &environment).unwrap();
        config.aggregates.clear();
        config.targets.values_mut().for_each(|target| {
            target.settings.clear();
            target.id_column = None;
        });
        format!("{config:#?}")
    };
    assert_eq!(shown(reference), shown(minimal));
}

#[test]
fn password_from_the_environment_reaches_only_the_driver() {
    let config = load(
        "[store]\nurl = 'mysql://${OPENEMR_DB_USER}:${OPENEMR_DB_PASSWORD}@${OPENEMR_DB_HOST}:${PORT:-3307}/host'\n\
         [targets.fhir]\nadapter = 'a.wasm'\n[targets.fhir.http]\nbase_url = 'https://fhir.example/r4/'\n\
         auth = { type = 'basic', username = 'u', password = '${TOKEN}' }\n",
    )
    .unwrap();
    let DatabaseUrl::Server(server) = &config.store.url else { panic!("a server") };
    assert_eq!(server.expose(), "mysql://openemr:SECRET%40%2F%23@openemr-db:3307/host");
    assert_eq!(config.store.url.to_string(), "mysql://openemr:***@openemr-db:3307/host");
    assert!(!config.store.url.is_local());
    let Connection::Http(http) = &config.targets["fhir"].connection else { panic!("HTTP") };
    let Authentication::Basic { username, password } = &http.authentication else { panic!("basic") };
    assert_eq!((username.as_str(), password.read().unwrap().expose()), ("u", "SECRET"));
    assert_eq!(http.base_url_text(), "https://fhir.example/r4");
    assert!(!format!("{config:?}").contains("SECRET"));
}

#[test]
fn a_secret_file_is_reread_each_time_and_trimmed() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "first\n").unwrap();
    let source = SecretSource::File(token.clone());
    assert_eq!(source.read().unwrap().expose(), "first");
    std::fs::write(&token, "second\r\n").unwrap();
    assert_eq!(source.read().unwrap().expose(), "second");
    std::fs::write(&token, " \n").unwrap();
    assert!(source.read().is_err());
    std::fs::remove_file(&token).unwrap();
    assert!(source.read().is_err());
}

#[test]
fn missing_file_is_reported_with_the_fix() {
    let error = Config::load(Path::new("no/such/host.toml")).unwrap_err().to_string();
    assert!(error.starts_with("no/such/host.toml: not found: ") && error.contains("--config"), "{error}");
}

#[test]
fn adapter_settings_have_any_shape_and_may_use_variables() {
    let config = load(
        "[store]\nurl = 'sqlite://x.db'\n[targets.a]\nadapter = 'a.wasm'\n[targets.a.database]\nurl = 'sqlite://y.db'\n\
         [targets.a.settings]\ntext = '${UNSET:-x}'\nnumber = 1_000\nfraction = 1.5\nday = 2025-01-31\nlist = [1, '${UNSET:-y}']\n\
         [targets.a.settings.deep]\nflag = true\n",
    )
    .unwrap();
    assert_eq!(
        serde_json::Value::from(config.targets["a"].settings.clone()),
        serde_json::json!({
            "text": "x", "number": 1000, "fraction": 1.5, "day": "2025-01-31", "list": [1, "y"], "deep": {"flag": true}
        })
    );
}

#[test]
fn the_audit_names_commands_and_a_receiver() {
    let with = |lines: &str| load(&format!("[store]\nurl = 'sqlite://x.db'\n[audit]\n{lines}\n"));
    let audit = with("require_reason = ['patient delete', 'target']\nsyslog = 'udp://[::1]:514'").unwrap().audit;
    assert_eq!(audit.require_reason.len(), 5);
    assert_eq!(audit.syslog, Some(SyslogAddress::Udp("[::1]:514".parse().unwrap())));
    let audit = with("syslog = '/dev/log'").unwrap().audit;
    assert_eq!(audit, AuditConfig { syslog: Some(SyslogAddress::Local("/dev/log".into())), ..AuditConfig::default() });
    for (lines, expected) in [
        ("require_reason = ['retry', 'run']", "entry 2 is not an audited command"),
        ("require_reason = ['${TOKEN}']", "entry 1 is not an audited command"),
        ("syslog = 'tcp://127.0.0.1:514'", "must be udp://IP-ADDRESS:PORT"),
        ("syslog = 'udp://127.0.0.1'", "must be udp://IP-ADDRESS:PORT"),
        ("syslog = 'udp://localhost:514'", "must be udp://IP-ADDRESS:PORT"),
        ("colour = 1", "colour"),
    ] {
        let error = with(lines).unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains("SECRET"), "{lines}: {error}");
    }
}

#[test]
fn the_default_order_is_state() {
    let config = load("[store]\nurl = 'sqlite://x.db'\n[aggregates.observation]\norder = 'fifo'\n").unwrap();
    assert_eq!(config.order(&AggregateType::patient()), Order::State);
    assert_eq!(config.order(&AggregateType::new("observation").unwrap()), Order::Fifo);
}
