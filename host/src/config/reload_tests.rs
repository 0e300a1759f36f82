//! Tests of what a reload takes over, with a pair of configurations that differ in every key.

use super::*;
use crate::config::Config;

/// Every key, once with these values and once with others.
const ONE: &str = r#"
[store]
url = "sqlite://uno.db"
connections_max = 3
users_table = "uno_users"
[plugins]
directory = "uno"
cache = "uno-cache"
lock_file = "uno.lock"
stack_kib = 1024
compile_cpu_s = 10
compile_memory_mib = 100
trusted_keys = ["RWTAf/flMuLqffzF+CPFB5RwUjI1mHHcod4mCWcUU/2DRYwQv+VvN+Au"]
require_signature = true
[sync]
poll_interval_ms = 100
lease_ms = 10000
drain_timeout_ms = 1000
recheck_interval_ms = 10000
journal = true
compare_effects = true
retry = { attempts_max = 3, base_ms = 10, cap_ms = 100 }
breaker = { open_ms = 10, cap_ms = 100 }
[retention]
done_days = 1
journal_days = 1
[observability]
listen = "127.0.0.1:9001"
[audit]
require_reason = ["patient"]
syslog = "/dev/log"
[alerts]
look_every = "5m"
repeat = "5m"
patient_ids = true
target_down = "5m"
failed = 10
adapters = true
verification = true
silence = [{ after = "5m" }]
webhook = { url = "http://127.0.0.1:9001/uno", secret = "ONE", allow_private = true, timeout_ms = 1000 }
[aggregates.note]
order = "fifo"
[targets.a]
adapter = "uno.wasm"
enabled = true
id_column = "openemr_patient_id"
on_remote_edit = "hold"
aggregate_types = ["patient"]
database.url = "sqlite://uno.db"
database.connections_max = 3
database.allow = { read = ["a"], insert = ["a"], update = ["a"], delete = ["a"] }
verify = { every = "1h", rate = 1 }
settings = { word = "uno", flag = true }
limits = { batch = 11, concurrency = 1 }
[targets.b]
adapter = "uno.wasm"
http.base_url = "http://127.0.0.1:1/uno"
http.allow_private = true
http.methods = ["GET"]
http.timeout_ms = 1000
http.in_doubt_ms = 1000
http.ca_file = "host.toml"
http.auth = { type = "bearer", token = "ONE" }
http.headers = [{ name = "X-One", value = "ONE" }]
[targets.gone]
adapter = "uno.wasm"
database.url = "sqlite://gone.db"
"#;

/// [`ONE`] with every value changed.
fn other() -> String {
    let plain = [
        ("uno", "two"),
        ("[targets.gone]", "[targets.added]"),
        ("ONE", "TWO"),
        ("X-One", "X-Two"),
        ("= 3\n", "= 4\n"),
        ("max = 3,", "max = 4,"),
        ("1024", "2048"),
        ("= 10\n", "= 20\n"),
        ("= 100\n", "= 200\n"),
        ("10000", "20000"),
        ("= 1000\n", "= 2000\n"),
        ("base_ms = 10, cap_ms = 100", "base_ms = 20, cap_ms = 200"),
        ("open_ms = 10, cap_ms = 100", "open_ms = 20, cap_ms = 200"),
        ("= 1\n", "= 2\n"),
        ("9001", "9002"),
        ("[\"patient\"]", "[\"status\"]"),
        ("/dev/log", "udp://127.0.0.1:514"),
        ("order = \"fifo\"", "order = \"state\""),
        ("openemr_patient_id", "fhir_patient_id"),
        ("hold", "overwrite"),
        ("[\"a\"]", "[\"b\"]"),
        ("every = \"1h\", rate = 1 ", "every = \"2h\", rate = 2 "),
        ("flag = true", "flag = false"),
        ("batch = 11, concurrency = 1 ", "batch = 12, concurrency = 2 "),
        ("127.0.0.1:1/", "127.0.0.1:2/"),
        ("[\"GET\"]", "[\"POST\"]"),
        ("\"host.toml\"", "\"./another\""),
        ("enabled = true", "enabled = false"),
        ("journal = true", "journal = false"),
        ("compare_effects = true", "compare_effects = false"),
        ("\"5m\"", "\"6m\""),
        ("patient_ids = true", "patient_ids = false"),
        ("adapters = true", "adapters = false"),
        ("verification = true", "verification = false"),
        ("RWTAf/flMuLqffzF+CPFB5RwUjI1mHHcod4mCWcUU/2DRYwQv+VvN+Au", ""),
    ];
    let text = plain.iter().fold(ONE.to_owned(), |text, (from, to)| text.replace(from, to));
    let text = text.replace("trusted_keys = [\"\"]\nrequire_signature = true\n", "");
    text.replace("aggregate_types = [\"status\"]", "aggregate_types = [\"note\"]")
}

fn load(text: &str) -> Config {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host.toml");
    std::fs::write(&path, text).unwrap();
    std::fs::write(folder.path().join("another"), "x").unwrap();
    Config::load_with(&path, &|_| None).unwrap_or_else(|error| panic!("{error}"))
}

/// Another value of each limit of a call.
fn with_other_limits(mut config: Config) -> Config {
    for target in config.targets.values_mut() {
        target.limits.call = CallLimits::from_each(|limit| limit.default + 1);
    }
    config.targets.values_mut().filter(|target| target.name.as_str() == "b").for_each(|target| {
        if let Connection::Http(http) = &mut target.connection {
            http.allow_private = false;
        }
    });
    config
}

/// A key as the table of the page names it.
fn row(key: &str) -> String {
    let mut parts: Vec<_> = key.split('.').collect();
    match parts[..] {
        ["targets", _] => return "targets.NAME".to_owned(),
        ["targets", ..] => parts[1] = "NAME",
        ["aggregates", ..] => return "aggregates".to_owned(),
        _ => return parts[0].to_owned(),
    }
    match parts[2..] {
        ["limits", "batch" | "concurrency" | "table_elements_max"] => {}
        ["limits" | "verify" | "settings", ..] => parts.truncate(3),
        ["database", "allow", ..] | ["http", "auth", ..] => parts.truncate(4),
        ["http", headers, ..] if headers.starts_with("headers") => return "targets.NAME.http.headers".to_owned(),
        _ => {}
    }
    parts.join(".")
}

#[test]
fn the_page_lists_which_keys_a_reload_takes_over() {
    let (running, file) = (load(ONE), with_other_limits(load(&other())));
    let rows = |keys: Vec<String>| -> BTreeSet<String> { keys.iter().map(|key| row(key)).collect() };
    let changed = rows(changed_keys(&running, &file));
    for key in by_key(&running).into_keys().chain(by_key(&file).into_keys()) {
        assert!(changed.contains(&row(&key)), "the two configurations have the same {key}");
    }
    let config = running.taking_over(&file);
    let (taken, left) = (rows(changed_keys(&running, &config)), rows(changed_keys(&config, &file)));
    assert_eq!(taken.intersection(&left).collect::<Vec<_>>(), Vec::<&String>::new(), "a row for two answers");

    let page = include_str!("../../../docs/configuration.md");
    let listed = |answer: &str| -> BTreeSet<String> {
        let of = |line: &str| {
            let (key, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
            rest.starts_with(answer).then(|| key.to_owned())
        };
        page.lines().filter_map(of).collect()
    };
    assert_eq!(listed("taken over"), taken);
    assert_eq!(listed("needs a restart"), left);
}

#[test]
fn what_is_taken_over_once_is_not_named_again() {
    let (running, file) = (load(ONE), load(&other()));
    let config = running.taking_over(&file);
    assert_eq!(changed_keys(&config, &config.taking_over(&file)), Vec::<String>::new());
    assert!(!changed_keys(&config, &file).is_empty(), "what needs a restart is named until it was done");
}

#[test]
fn a_target_of_another_kind_needs_a_restart() {
    let running =
        load("[store]\nurl = \"sqlite://a.db\"\n[targets.a]\nadapter = \"a\"\ndatabase.url = \"sqlite://b.db\"\n");
    let file = load(
        "[store]\nurl = \"sqlite://a.db\"\n[targets.a]\nadapter = \"a\"\nhttp.base_url = \"https://fhir.example/\"\n",
    );
    let config = running.taking_over(&file);
    assert!(matches!(config.targets.values().next().unwrap().connection, Connection::Database(_)));
    let left = changed_keys(&config, &file);
    assert!(left.iter().any(|key| key == "targets.a.http.base_url"), "{left:?}");
}

#[test]
fn nothing_that_may_be_secret_is_shown() {
    let text = ONE.replace("ONE", "MARKED").replace("/uno\"", "/MARKED\"").replace("\"uno\"", "\"MARKED\"");
    for entry in load(&text).entries() {
        assert!(!entry.shown.contains("MARKED"), "{entry:?}");
        assert!(!format!("{entry:?}").contains("MARKED"), "{entry:?}");
    }
    let urls = "[store]\nurl = \"postgres://MARKED:MARKED@db.example:5433/MARKED?options[search_path]=MARKED\"\n";
    let entries = load(urls).entries();
    let url = entries.iter().find(|entry| entry.key == "store.url").unwrap();
    assert!(!url.shown.contains("MARKED") && url.is_redacted(), "{url:?}");
    assert!(url.shown.contains("postgres at db.example:5433"), "{url:?}");
}
