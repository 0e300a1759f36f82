//! `[alerts]`: which conditions raise an alert, and where messages go.

use std::path::PathBuf;
use std::time::Duration;

use lettre::message::Mailbox;
use url::Url;

use super::authentication::{SecretSource, read_secret};
use super::http::names_private_address;
use super::is_loopback;
use super::section_reader::SectionReader;
use crate::domain::alerts::{AlertRules, DailyHours, LOOK_EVERY_MAX, SilenceRule};
use crate::domain::ids::AggregateType;
use crate::domain::mail::SmtpTls;
use crate::domain::secret::Secret;

/// How long a message may take.
const TIMEOUT_MS_DEFAULT: u64 = 10_000;

/// `[alerts]`.
#[derive(Clone, Debug)]
pub struct AlertsConfig {
    pub rules: AlertRules,
    /// The time between two looks.
    pub look_every: Duration,
    /// The time between two messages of an alert that stays open.
    pub repeat: Duration,
    /// Whether messages may name the id of a patient.
    pub patient_ids: bool,
    /// `[alerts.webhook]`.
    pub webhook: Option<WebhookConfig>,
    /// `[alerts.smtp]`.
    pub smtp: Option<SmtpConfig>,
}

/// A web server that takes messages.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// Its query may hold a token.
    pub url: Secret,
    /// The scheme, host and port of the URL.
    pub place: String,
    /// The key of the signature.
    pub secret: SecretSource,
    pub allow_private: bool,
    /// The absolute path of certificates (PEM) to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    pub timeout: Duration,
}

/// A mail server, and from whom to whom mail goes.
#[derive(Clone, Debug)]
pub struct SmtpConfig {
    pub server: String,
    pub port: u16,
    pub tls: SmtpTls,
    /// The absolute path of certificates (PEM) to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    pub login: Option<(String, SecretSource)>,
    pub from: Mailbox,
    /// Never empty.
    pub to: Vec<Mailbox>,
    pub timeout: Duration,
}

pub(super) fn read_alerts(mut alerts: SectionReader<'_>) -> Option<AlertsConfig> {
    if !alerts.is_present() {
        return None;
    }
    let rules = read_rules(&mut alerts);
    let config = AlertsConfig {
        rules,
        look_every: read_look_every(&mut alerts),
        repeat: alerts.duration("repeat").unwrap_or(Duration::from_hours(4)),
        patient_ids: alerts.boolean("patient_ids", true),
        webhook: read_webhook(alerts.section("webhook")),
        smtp: read_smtp(alerts.section("smtp")),
    };
    alerts.finish(&[]);
    Some(config)
}

fn read_look_every(alerts: &mut SectionReader<'_>) -> Duration {
    let look_every = alerts.duration("look_every").unwrap_or(Duration::from_secs(15));
    if look_every > LOOK_EVERY_MAX {
        alerts.note_key("look_every", "must be at most \"1h\"");
    }
    look_every
}

fn read_rules(alerts: &mut SectionReader<'_>) -> AlertRules {
    AlertRules {
        target_down_ms: alerts.duration("target_down").map(millis),
        pending_age_ms: alerts.duration("pending_age").map(millis),
        failed: threshold(alerts, "failed"),
        failed_per_hour: threshold(alerts, "failed_per_hour"),
        conflicts: threshold(alerts, "conflicts"),
        silence: alerts.sections("silence").into_iter().filter_map(read_silence).collect(),
        leases_lost_per_hour: threshold(alerts, "leases_lost_per_hour"),
        disk_free_bytes: threshold(alerts, "disk_free_mib").map(|mebibytes| mebibytes << 20),
        expiry_ms: threshold(alerts, "expiry_days").map(|days| millis(Duration::from_hours(24 * days))),
        host_missing_ms: alerts.duration("host_missing").map(millis),
        adapters: alerts.boolean("adapters", true),
        verification: alerts.boolean("verification", true),
    }
}

/// A count from which on a condition holds; `None` when the condition is off.
fn threshold(alerts: &mut SectionReader<'_>, key: &'static str) -> Option<u64> {
    alerts.has(key).then(|| alerts.integer(key, 1..=1_000_000_000, 1))
}

fn read_silence(mut silence: SectionReader<'_>) -> Option<SilenceRule> {
    if !silence.has("after") {
        silence.note_missing("after", "is missing: how long no change may come, for example \"1h\"");
    }
    let after_ms = silence.duration("after").map(millis);
    let aggregate_type = silence.text("type").and_then(|entry| match AggregateType::new(entry.value) {
        Ok(aggregate_type) => Some(aggregate_type.as_str().to_owned()),
        Err(error) => {
            silence.note_key("type", error.to_string());
            None
        }
    });
    let hours = silence.text("hours").and_then(|entry| {
        let hours = DailyHours::parse(&entry.value);
        if hours.is_none() {
            silence.note_key("hours", "must be hours of the day, for example \"07:00-20:00\"");
        }
        hours
    });
    if let (Some(after_ms), Some(hours)) = (after_ms, hours)
        && after_ms >= hours.length_ms()
    {
        silence.note_key("after", "must be less than its hours last, or it is never reached");
    }
    silence.finish(&[]);
    Some(SilenceRule { aggregate_type, after_ms: after_ms?, hours })
}

fn read_webhook(mut webhook: SectionReader<'_>) -> Option<WebhookConfig> {
    if !webhook.is_present() {
        return None;
    }
    let allow_private = webhook.boolean("allow_private", false);
    let url = read_url(&mut webhook, allow_private);
    let secret = read_secret(&mut webhook, "secret", "secret_file");
    let ca_file = webhook.file("ca_file");
    let timeout = Duration::from_millis(webhook.integer("timeout_ms", 100..=600_000, TIMEOUT_MS_DEFAULT));
    webhook.finish(&[]);
    let (url, place) = url?;
    Some(WebhookConfig { url, place, secret: secret?, allow_private, ca_file, timeout })
}

/// The URL, and the part of it that may be shown.
fn read_url(webhook: &mut SectionReader<'_>, allow_private: bool) -> Option<(Secret, String)> {
    if !webhook.has("url") {
        webhook.note_missing("url", "is missing, for example \"https://alerts.example/hook\"");
    }
    let text = webhook.url("url")?;
    let problem = match Url::parse(text.expose()) {
        Err(error) => format!("is not a URL: {error}"),
        Ok(url) if !matches!(url.scheme(), "http" | "https") => "must begin with https:// or http://".to_owned(),
        Ok(url) if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() => {
            "must have no user, password or `#`".to_owned()
        }
        Ok(url) if !allow_private && names_private_address(&url) => {
            "is an address of this machine or a private network: set allow_private = true".to_owned()
        }
        Ok(url) => {
            let place = url.origin().ascii_serialization();
            return Some((Secret::new(url.as_str().to_owned()), place));
        }
    };
    webhook.note_key("url", problem);
    None
}

fn read_smtp(mut smtp: SectionReader<'_>) -> Option<SmtpConfig> {
    if !smtp.is_present() {
        return None;
    }
    for (key, message) in [
        ("server", "is missing, for example \"mail.hospital.example\""),
        ("from", "is missing, for example \"NeuroNova Sync <sync@hospital.example>\""),
        ("to", "is missing: a list of addresses"),
    ] {
        if !smtp.has(key) {
            smtp.note_missing(key, message);
        }
    }
    let server = smtp.text("server").map(|entry| entry.value);
    let tls = smtp.word("tls", SmtpTls::WORDS, SmtpTls::from_word).unwrap_or(SmtpTls::StartTls);
    let usual_port = match tls {
        SmtpTls::StartTls => 587,
        SmtpTls::Tls => 465,
        SmtpTls::None => 25,
    };
    let port = u16::try_from(smtp.integer("port", 1..=65_535, usual_port)).unwrap_or(u16::MAX);
    let ca_file = smtp.file("ca_file");
    let user = smtp.text("user").map(|entry| entry.value);
    let has_password = smtp.has("password") || smtp.has("password_file");
    let password =
        if user.is_some() || has_password { read_secret(&mut smtp, "password", "password_file") } else { None };
    if user.is_none() && has_password {
        smtp.note_missing("user", "is missing: the password is of nobody");
    }
    if tls == SmtpTls::None && user.is_some() && !server.as_deref().is_some_and(is_loopback) {
        smtp.note_key("tls", "must not be none where a password is sent to another machine");
    }
    let from = smtp.text("from").and_then(|entry| mailbox(&smtp, "from", &entry.value));
    let to = smtp.texts("to").unwrap_or_default();
    let to: Vec<_> = to.iter().filter_map(|entry| mailbox(&smtp, "to", &entry.value)).collect();
    if smtp.has("to") && to.is_empty() {
        smtp.note_key("to", "must name a receiver");
    }
    let timeout = Duration::from_millis(smtp.integer("timeout_ms", 100..=600_000, TIMEOUT_MS_DEFAULT));
    smtp.finish(&[]);
    Some(SmtpConfig { server: server?, port, tls, ca_file, login: user.zip(password), from: from?, to, timeout })
}

fn mailbox(smtp: &SectionReader<'_>, key: &'static str, text: &str) -> Option<Mailbox> {
    let mailbox = text.parse().ok();
    if mailbox.is_none() {
        smtp.note_key(key, "must be a mail address, for example \"Night shift <night@hospital.example>\"");
    }
    mailbox
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
