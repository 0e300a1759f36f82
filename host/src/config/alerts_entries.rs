//! The keys of `[alerts]` with their values, for reloads and for a support bundle (`entries.rs`).

use super::alerts::{AlertsConfig, SmtpConfig, WebhookConfig};
use super::entry_list::{Entries, TEXT};
use crate::domain::alerts::{AlertRules, SilenceRule};

const DAY_MS: i64 = 86_400_000;

pub(super) fn of_alerts(entries: &mut Entries<'_>, alerts: &AlertsConfig) {
    let AlertsConfig { rules, look_every, repeat, patient_ids, webhook, smtp } = alerts;
    of_rules(entries, rules);
    entries.shown("look_every", &seconds(look_every.as_millis()));
    entries.shown("repeat", &seconds(repeat.as_millis()));
    entries.shown("patient_ids", patient_ids);
    if let Some(webhook) = webhook {
        of_webhook(&mut entries.of("webhook"), webhook);
    }
    if let Some(smtp) = smtp {
        of_smtp(&mut entries.of("smtp"), smtp);
    }
}

fn of_rules(entries: &mut Entries<'_>, rules: &AlertRules) {
    let AlertRules {
        target_down_ms,
        pending_age_ms,
        failed,
        failed_per_hour,
        conflicts,
        silence,
        leases_lost_per_hour,
        disk_free_bytes,
        expiry_ms,
        host_missing_ms,
        adapters,
        verification,
    } = rules;
    let ages = [("target_down", target_down_ms), ("pending_age", pending_age_ms), ("host_missing", host_missing_ms)];
    for (key, age) in ages.into_iter().filter_map(|(key, age)| Some((key, (*age)?))) {
        entries.shown(key, &seconds(age));
    }
    let counts = [
        ("failed", *failed),
        ("failed_per_hour", *failed_per_hour),
        ("conflicts", *conflicts),
        ("leases_lost_per_hour", *leases_lost_per_hour),
        ("disk_free_mib", disk_free_bytes.map(|bytes| bytes >> 20)),
        ("expiry_days", expiry_ms.and_then(|age| u64::try_from(age / DAY_MS).ok())),
    ];
    for (key, count) in counts.into_iter().filter_map(|(key, count)| Some((key, count?))) {
        entries.shown(key, &count);
    }
    entries.shown("adapters", adapters);
    entries.shown("verification", verification);
    for (number, SilenceRule { aggregate_type, after_ms, hours }) in silence.iter().enumerate() {
        let mut of_silence = entries.of(&format!("silence[{number}]"));
        of_silence.shown("type", aggregate_type.as_deref().unwrap_or("every type"));
        of_silence.shown("after", &seconds(*after_ms));
        if let Some(hours) = hours {
            of_silence.shown("hours", hours);
        }
    }
}

fn of_webhook(entries: &mut Entries<'_>, webhook: &WebhookConfig) {
    let WebhookConfig { url, place, secret, allow_private, ca_file, timeout } = webhook;
    entries.hidden("url", &format!("{place}; the rest is left out"), url.expose());
    entries.secret("secret", secret);
    entries.shown("allow_private", allow_private);
    if let Some(file) = ca_file {
        entries.path("ca_file", file);
    }
    entries.shown("timeout_ms", &timeout.as_millis());
}

fn of_smtp(entries: &mut Entries<'_>, smtp: &SmtpConfig) {
    let SmtpConfig { server, port, tls, ca_file, login, from, to, timeout } = smtp;
    entries.shown("server", server);
    entries.shown("port", port);
    entries.shown("tls", tls);
    if let Some(file) = ca_file {
        entries.path("ca_file", file);
    }
    if let Some((user, password)) = login {
        entries.hidden("user", TEXT, user.as_str());
        entries.secret("password", password);
    }
    entries.hidden("from", TEXT, from.to_string());
    entries.hidden("to", TEXT, to.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    entries.shown("timeout_ms", &timeout.as_millis());
}

/// Milliseconds as people read them.
fn seconds(millis: impl TryInto<u64>) -> String {
    let millis = millis.try_into().unwrap_or_default();
    if millis % 1_000 == 0 { format!("{}s", millis / 1_000) } else { format!("{millis}ms") }
}
