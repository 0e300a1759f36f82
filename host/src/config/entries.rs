//! Every key of a configuration with its value, as a list: for finding what differs from another configuration, and for
//! showing a configuration to others.
//!
//! What may be shown is decided here, key by key: numbers, words of a closed set, names of tables and targets,
//! addresses of servers. Secrets, users, paths and free text are compared and never shown. Each section is taken apart
//! field by field, so that a new field does not compile until it has its place.

use url::Url;

use super::alerts_entries::of_alerts;
use super::entry_list::{Entries, Entry, TEXT};
use super::{
    AuditConfig, Authentication, Config, Connection, DatabaseConfig, GrantConfig, HttpConfig, Limits,
    ObservabilityConfig, PluginsConfig, RetentionConfig, StoreConfig, SyncConfig, SyslogAddress, TargetConfig,
};
use crate::domain::delivery::{BreakerPolicy, RetryPolicy};
use crate::domain::grants::{TableVerb, Tables};
use crate::domain::ids::AggregateType;

impl Config {
    /// Every key with its value, those that the file leaves out included; those without a default only where they are
    /// set.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let Self { path: _, store, plugins, sync, retention, audit, alerts, observability, targets, aggregates } = self;
        let mut list = Vec::new();
        let mut root = Entries::root(&mut list);
        of_store(&mut root.of("store"), store);
        of_plugins(&mut root.of("plugins"), plugins);
        of_sync(&mut root.of("sync"), sync);
        of_retention(&mut root.of("retention"), *retention);
        of_observability(&mut root.of("observability"), *observability);
        of_audit(&mut root.of("audit"), audit);
        if let Some(alerts) = alerts {
            of_alerts(&mut root.of("alerts"), alerts);
        }
        for (aggregate_type, order) in aggregates {
            root.of("aggregates").of(aggregate_type.as_str()).shown("order", order);
        }
        for (name, target) in targets {
            of_target(&mut root.of("targets").of(name.as_str()), target);
        }
        list
    }
}

fn of_store(entries: &mut Entries<'_>, StoreConfig { url, connections_max, users_table }: &StoreConfig) {
    entries.database_url("url", url);
    entries.shown("connections_max", connections_max);
    entries.hidden("users_table", TEXT, users_table.as_str());
}

fn of_plugins(entries: &mut Entries<'_>, plugins: &PluginsConfig) {
    let PluginsConfig {
        directory,
        lock_file,
        cache,
        stack_kib,
        compile_cpu_s,
        compile_memory_mib,
        trusted_keys,
        require_signature,
    } = plugins;
    entries.path("directory", directory);
    if let Some(lock_file) = lock_file {
        entries.path("lock_file", lock_file);
    }
    entries.path("cache", cache);
    entries.shown("stack_kib", stack_kib);
    entries.shown("compile_cpu_s", compile_cpu_s);
    entries.shown("compile_memory_mib", compile_memory_mib);
    entries.shown_list("trusted_keys", trusted_keys);
    entries.shown("require_signature", require_signature);
}

fn of_sync(entries: &mut Entries<'_>, sync: &SyncConfig) {
    let SyncConfig {
        poll_interval_ms,
        lease_ms,
        drain_timeout_ms,
        recheck_interval_ms,
        journal,
        compare_effects,
        retry,
        breaker,
    } = sync;
    entries.shown("poll_interval_ms", poll_interval_ms);
    entries.shown("lease_ms", lease_ms);
    entries.shown("drain_timeout_ms", drain_timeout_ms);
    entries.shown("recheck_interval_ms", recheck_interval_ms);
    entries.shown("journal", journal);
    entries.shown("compare_effects", compare_effects);
    let RetryPolicy { attempts_max, base_ms, cap_ms } = retry;
    let mut of_retry = entries.of("retry");
    of_retry.shown("attempts_max", attempts_max);
    of_retry.shown("base_ms", base_ms);
    of_retry.shown("cap_ms", cap_ms);
    let BreakerPolicy { open_ms, cap_ms } = breaker;
    let mut of_breaker = entries.of("breaker");
    of_breaker.shown("open_ms", open_ms);
    of_breaker.shown("cap_ms", cap_ms);
}

fn of_retention(entries: &mut Entries<'_>, RetentionConfig { done_days, journal_days }: RetentionConfig) {
    entries.shown("done_days", &done_days);
    entries.shown("journal_days", &journal_days);
}

fn of_observability(entries: &mut Entries<'_>, ObservabilityConfig { listen }: ObservabilityConfig) {
    entries.shown("listen", &listen.map_or_else(|| "off".to_owned(), |address| address.to_string()));
}

fn of_audit(entries: &mut Entries<'_>, AuditConfig { require_reason, syslog }: &AuditConfig) {
    entries.shown_list("require_reason", require_reason);
    match syslog {
        Some(SyslogAddress::Udp(address)) => entries.shown("syslog", &format!("udp://{address}")),
        Some(SyslogAddress::Local(path)) => entries.path("syslog", path),
        None => {}
    }
}

fn of_target(entries: &mut Entries<'_>, target: &TargetConfig) {
    let TargetConfig {
        name: _,
        adapter,
        enabled,
        id_column,
        on_remote_edit,
        aggregate_types,
        connection,
        settings,
        limits,
        verify,
    } = target;
    entries.path("adapter", adapter);
    entries.shown("enabled", enabled);
    if let Some(column) = id_column {
        entries.shown("id_column", column);
    }
    entries.shown("on_remote_edit", on_remote_edit);
    entries.shown_list("aggregate_types", aggregate_types.iter().map(AggregateType::as_str));
    match connection {
        Connection::Database(database) => of_database(&mut entries.of("database"), database),
        Connection::Http(http) => of_http(&mut entries.of("http"), http),
    }
    let Limits { batch, concurrency, call } = limits;
    let mut of_limits = entries.of("limits");
    of_limits.shown("batch", batch);
    of_limits.shown("concurrency", concurrency);
    for (name, value) in call.values() {
        of_limits.shown(name, &value);
    }
    if let Some(schedule) = verify {
        let mut of_verify = entries.of("verify");
        of_verify.shown("every", &format!("{} s", schedule.every.as_secs()));
        of_verify.shown("rate", &schedule.rate);
    }
    for (key, value) in settings {
        let mut of_settings = entries.of("settings");
        match value {
            // An adapter's own: it may be anything.
            serde_json::Value::Bool(_) => of_settings.shown(key, value),
            _ => of_settings.hidden(key, TEXT, value.to_string()),
        }
    }
}

fn of_database(entries: &mut Entries<'_>, DatabaseConfig { url, connections_max, allow }: &DatabaseConfig) {
    entries.database_url("url", url);
    entries.shown("connections_max", connections_max);
    let mut of_allow = entries.of("allow");
    for verb in TableVerb::ALL {
        match allow.of(*verb) {
            Tables::All => of_allow.shown(verb.as_str(), "*"),
            Tables::Named(tables) => of_allow.shown_list(verb.as_str(), tables),
        }
    }
}

fn of_http(entries: &mut Entries<'_>, http: &HttpConfig) {
    let HttpConfig { base_url, methods, allow_private, timeout_ms, in_doubt_ms, ca_file, authentication, headers } =
        http;
    let shown = format!("{}; its path is left out", server_of(base_url));
    entries.hidden("base_url", &shown, base_url.as_str());
    entries.shown_list("methods", methods);
    entries.shown("allow_private", allow_private);
    entries.shown("timeout_ms", timeout_ms);
    entries.shown("in_doubt_ms", in_doubt_ms);
    if let Some(file) = ca_file {
        entries.path("ca_file", file);
    }
    of_authentication(&mut entries.of("auth"), authentication);
    // A name may be told by its place only: it may be as secret as the value.
    for (number, (name, source)) in headers.iter().enumerate() {
        let mut of_header = entries.of(&format!("headers[{number}]"));
        of_header.hidden("name", TEXT, name);
        of_header.secret("value", source);
    }
}

/// Scheme, host and port.
fn server_of(url: &Url) -> String {
    let port = url.port_or_known_default().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}

fn of_authentication(entries: &mut Entries<'_>, authentication: &Authentication) {
    entries.shown("type", &authentication.kind());
    match authentication {
        Authentication::None => {}
        Authentication::Bearer { token } => entries.secret("token", token),
        Authentication::Basic { username, password } => {
            entries.hidden("username", TEXT, username);
            entries.secret("password", password);
        }
        Authentication::ClientCredentials { grant, client_secret, method } => {
            of_grant(entries, grant);
            entries.secret("client_secret", client_secret);
            entries.shown("client_secret_method", method);
        }
        Authentication::BackendServices { grant, private_key, key_id } => {
            of_grant(entries, grant);
            entries.secret("private_key", private_key);
            entries.hidden("key_id", TEXT, key_id);
        }
    }
}

fn of_grant(entries: &mut Entries<'_>, GrantConfig { token_url, client_id, scope, audience, resource }: &GrantConfig) {
    entries.hidden("token_url", TEXT, token_url);
    entries.hidden("client_id", TEXT, client_id);
    for (key, value) in [("scope", scope), ("audience", audience), ("resource", resource)] {
        if let Some(value) = value {
            entries.hidden(key, TEXT, value);
        }
    }
}
