//! `host status --check`: one line and an exit code for monitoring that runs commands (Nagios, Icinga, cron).
//!
//! 0: OK, 1: warning, 2: critical, 3: unknown. What is after `|` is for graphs.

use std::fmt::Write as _;
use std::process::ExitCode;

use jiff::SignedDuration;

use super::error::CliError;
use super::output::{age, line, printable, time};
use super::status_summary::{AttentionSummary, clock_trouble, differences, read_status};
use super::wiring;
use crate::config::Config;
use crate::store::{StatusSnapshot, TargetStatus};

/// How bad something is. The greatest decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Ok = 0,
    Warning = 1,
    Critical = 2,
    Unknown = 3,
}

/// From which value on something is a warning, and critical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Thresholds {
    warning: i64,
    critical: Option<i64>,
}

#[derive(Debug, clap::Args)]
pub(super) struct CheckArguments {
    /// Print one line for monitoring; exit with 0 to 3
    #[arg(long, conflicts_with_all = ["json", "watch", "recent", "patient", "aggregate_type"])]
    check: bool,
    /// Check this target only; may be repeated
    #[arg(long, value_name = "NAME", requires = "check")]
    target: Vec<String>,
    /// Warn when a change waits so long, critical: second age
    #[arg(long, value_name = "AGE[,AGE]", default_value = "15m,1h", value_parser = ages, requires = "check")]
    pending_age: Thresholds,
    /// Warn when a target is down so long, critical: second age
    #[arg(long, value_name = "AGE[,AGE]", default_value = "0s,15m", value_parser = ages, requires = "check")]
    down: Thresholds,
    /// Warn when a target has so many failed, critical: second
    #[arg(long, value_name = "N[,N]", default_value = "1", value_parser = counts, requires = "check")]
    failed: Thresholds,
}

impl CheckArguments {
    pub(super) fn is_wanted(&self) -> bool {
        self.check
    }
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

impl Thresholds {
    fn level(self, value: i64) -> Level {
        if self.critical.is_some_and(|critical| value >= critical) {
            Level::Critical
        } else if value >= self.warning {
            Level::Warning
        } else {
            Level::Ok
        }
    }

    /// As Nagios writes it, with each value divided by `unit`.
    fn shown(self, unit: i64) -> String {
        let critical = self.critical.map(|critical| (critical / unit).to_string()).unwrap_or_default();
        format!("{};{critical}", self.warning / unit)
    }
}

/// Ages in milliseconds.
fn ages(text: &str) -> Result<Thresholds, String> {
    let millis = |text: &str| text.trim().parse::<SignedDuration>().ok().filter(|age| !age.is_negative());
    let millis = |text: &str| millis(text).and_then(|age| i64::try_from(age.as_millis()).ok());
    thresholds(text, millis, "ages, for example 90s, 15m or 1h30m")
}

fn counts(text: &str) -> Result<Thresholds, String> {
    thresholds(text, |text| text.trim().parse().ok().filter(|count| *count >= 0), "whole numbers")
}

fn thresholds(text: &str, read: impl Fn(&str) -> Option<i64>, what: &str) -> Result<Thresholds, String> {
    let (warning, critical) = match text.split_once(',') {
        Some((warning, critical)) => (read(warning), Some(read(critical))),
        None => (read(text), None),
    };
    match (warning, critical) {
        (Some(warning), Some(Some(critical))) if critical < warning => {
            Err("the second one must not be less than the first".to_owned())
        }
        (Some(warning), None) => Ok(Thresholds { warning, critical: None }),
        (Some(warning), Some(Some(critical))) => Ok(Thresholds { warning, critical: Some(critical) }),
        _ => Err(format!("must be one or two {what}")),
    }
}

pub(super) async fn run(config: &Config, arguments: &CheckArguments) -> ExitCode {
    let judged = match read(config, arguments).await {
        Ok((snapshot, attention)) => Judged::of(&snapshot, &attention, arguments),
        Err(error) => Judged::unreadable(&error),
    };
    line(&judged.line());
    ExitCode::from(judged.level() as u8)
}

async fn read(config: &Config, arguments: &CheckArguments) -> Result<(StatusSnapshot, AttentionSummary), CliError> {
    for target in &arguments.target {
        wiring::target_config(config, target)?;
    }
    let store = wiring::readable_store(config).await?;
    Ok(read_status(config, &store, 0, None).await?)
}

/// What was found, and the numbers for graphs.
#[derive(Default)]
struct Judged {
    problems: Vec<(Level, String)>,
    summary: String,
    numbers: Vec<String>,
}

impl Judged {
    /// A store that cannot be used delivers nothing. Anything else is a fault of the check itself.
    fn unreadable(error: &CliError) -> Self {
        let level = if matches!(error, CliError::Database(_)) { Level::Critical } else { Level::Unknown };
        Self { problems: vec![(level, error.to_string())], ..Self::default() }
    }

    fn of(snapshot: &StatusSnapshot, attention: &AttentionSummary, arguments: &CheckArguments) -> Self {
        let mut judged = Self::default();
        let is_wanted =
            |name: &str| arguments.target.is_empty() || arguments.target.iter().any(|wanted| wanted == name);
        judged.of_store(snapshot, attention, arguments);
        let targets = snapshot.targets.iter().filter(|(name, target)| target.enabled && is_wanted(name));
        let mut up = Vec::new();
        let mut pending = snapshot.unrouted;
        for (name, target) in targets {
            judged.of_target(name, target, arguments);
            pending += target.counts.pending;
            if target.state == "up" && !target.paused {
                up.push(name.as_str());
            }
        }
        for difference in differences(snapshot).iter().filter(|difference| is_wanted(difference.target())) {
            judged.note(Level::Warning, difference.to_string());
        }
        let up = if up.is_empty() { "no target is up".to_owned() } else { format!("{} up", up.join(", ")) };
        judged.summary = format!("{up}, {pending} pending");
        judged
    }

    fn of_store(&mut self, snapshot: &StatusSnapshot, attention: &AttentionSummary, arguments: &CheckArguments) {
        if snapshot.hosts.is_empty() {
            self.note(Level::Critical, "no host runs on this store".to_owned());
        }
        if let Some(trouble) = &attention.write_trouble {
            self.note(Level::Critical, format!("cannot write to the store: {trouble}"));
        }
        if let Some(trouble) = clock_trouble(attention.clock) {
            self.note(Level::Warning, trouble);
        }
        let oldest = snapshot.oldest_unrouted_ms.unwrap_or_default();
        let message = format!("a change has waited in the outbox for {}", age(oldest));
        if snapshot.unrouted > 0 {
            self.note(arguments.pending_age.level(oldest), message);
        }
        self.numbers.push(format!("hosts={};1", snapshot.hosts.len()));
        self.numbers.push(format!("unrouted={}", snapshot.unrouted));
        let limits = arguments.pending_age.shown(1_000);
        self.numbers.push(format!("unrouted_oldest={}s;{limits}", oldest / 1_000));
    }

    fn of_target(&mut self, name: &str, target: &TargetStatus, arguments: &CheckArguments) {
        let CheckArguments { pending_age, down, failed, .. } = *arguments;
        if target.paused {
            let until = target.paused_until.map(|at| format!(" until {}", time(at))).unwrap_or_default();
            self.note(Level::Warning, format!("{name} is paused{until}"));
        } else if target.state == "unknown" {
            self.note(Level::Warning, format!("no host has checked {name} yet"));
        } else if target.state == "down" {
            let since = target.error_ms.unwrap_or_default();
            let error = target.error_message.as_deref().unwrap_or("no reason given");
            self.note(down.level(since), format!("{name} is down for {}: {error}", age(since)));
        }
        let oldest = target.oldest_pending_ms.unwrap_or_default();
        let waits = format!("a change has waited for {name} for {}", age(oldest));
        if target.counts.pending > 0 {
            self.note(pending_age.level(oldest), waits);
        }
        let count = i64::try_from(target.counts.failed).unwrap_or(i64::MAX);
        if count > 0 {
            self.note(failed.level(count), format!("{count} failed at {name}"));
        }
        let differing = target.verified.as_ref().map_or(0, |verified| verified.counts.differing());
        if differing > 0 {
            self.note(Level::Warning, format!("{differing} records at {name} are not as they were delivered"));
        }
        self.numbers.push(format!("{name}_pending={}", target.counts.pending));
        self.numbers.push(format!("{name}_oldest={}s;{}", oldest / 1_000, pending_age.shown(1_000)));
        self.numbers.push(format!("{name}_failed={count};{}", failed.shown(1)));
    }

    fn note(&mut self, level: Level, message: String) {
        if level > Level::Ok {
            self.problems.push((level, message));
        }
    }

    fn level(&self) -> Level {
        self.problems.iter().map(|(level, _)| *level).max().unwrap_or(Level::Ok)
    }

    /// The worst first. A `|` would begin the numbers.
    fn line(&self) -> String {
        let mut problems: Vec<_> = self.problems.iter().collect();
        problems.sort_by_key(|(level, _)| std::cmp::Reverse(*level));
        let mut messages: Vec<_> = problems.into_iter().map(|(_, message)| message.as_str()).collect();
        if !self.summary.is_empty() {
            messages.push(&self.summary);
        }
        let mut text = format!("{} - {}", self.level().word(), printable(&messages.join("; ")).replace('|', "/"));
        if !self.numbers.is_empty() {
            // Writing to a String cannot fail.
            let _written = write!(text, " | {}", self.numbers.join(" "));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::store::{ClockState, Counts, RunningHost};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        check: CheckArguments,
        #[arg(long)]
        json: bool,
        #[arg(long)]
        watch: bool,
        #[arg(long)]
        recent: Option<u32>,
        #[arg(long)]
        patient: Option<String>,
        #[arg(long)]
        aggregate_type: Option<String>,
    }

    fn arguments(more: &[&str]) -> CheckArguments {
        Line::try_parse_from([&["host", "--check"], more].concat()).map(|line| line.check).unwrap()
    }

    fn target(state: &str, counts: Counts) -> TargetStatus {
        TargetStatus { state: state.to_owned(), enabled: true, counts, ..TargetStatus::default() }
    }

    fn running(targets: Vec<(&str, TargetStatus)>) -> StatusSnapshot {
        let host = RunningHost { id: "a".to_owned(), targets: None };
        let targets = targets.into_iter().map(|(name, target)| (name.to_owned(), target)).collect();
        StatusSnapshot { targets, hosts: vec![host], ..StatusSnapshot::default() }
    }

    fn attention() -> AttentionSummary {
        AttentionSummary {
            conflicts: 0,
            blocked: Vec::new(),
            waiting: Vec::new(),
            notices: Vec::new(),
            alerts: Vec::new(),
            types: Vec::new(),
            clock: ClockState::Trusted,
            write_trouble: None,
            now: 0,
        }
    }

    fn judged(snapshot: &StatusSnapshot, more: &[&str]) -> (u8, String) {
        let judged = Judged::of(snapshot, &attention(), &arguments(more));
        (judged.level() as u8, judged.line())
    }

    #[test]
    fn a_host_with_its_target_up_is_ok() {
        let pending = Counts { pending: 3, done: 9, ..Counts::default() };
        let up = TargetStatus { oldest_pending_ms: Some(12_300), ..target("up", pending) };
        let expected = "OK - openemr up, 3 pending | hosts=1;1 unrouted=0 unrouted_oldest=0s;900;3600 \
                        openemr_pending=3 openemr_oldest=12s;900;3600 openemr_failed=0;1;";
        assert_eq!(judged(&running(vec![("openemr", up)]), &[]), (0, expected.to_owned()));
    }

    #[test]
    fn the_worst_problem_decides_and_comes_first() {
        let paused = TargetStatus { paused: true, ..target("up", Counts::default()) };
        let down = TargetStatus {
            error_message: Some("refused | by\nthe server".to_owned()),
            error_ms: Some(1_200_000),
            ..target("down", Counts::default())
        };
        let (code, line) = judged(&running(vec![("fhir", paused), ("openemr", down)]), &[]);
        let begin = "CRITICAL - openemr is down for 20 min: refused / by the server; fhir is paused; no target is up, ";
        assert!(code == 2 && line.starts_with(begin), "{line}");
    }

    #[test]
    fn each_threshold_counts_from_its_value_on() {
        let failed = |failed| running(vec![("a", target("up", Counts { failed, ..Counts::default() }))]);
        let old = |millis| {
            let pending = target("up", Counts { pending: 1, ..Counts::default() });
            running(vec![("a", TargetStatus { oldest_pending_ms: Some(millis), ..pending })])
        };
        let down = |millis| {
            let down = target("down", Counts::default());
            running(vec![("a", TargetStatus { error_ms: Some(millis), ..down })])
        };
        let unrouted = |millis| StatusSnapshot { unrouted: 1, oldest_unrouted_ms: Some(millis), ..running(Vec::new()) };
        for (snapshot, more, code) in [
            (running(vec![("a", target("unknown", Counts::default()))]), vec![], 1),
            (failed(0), vec![], 0),
            (failed(1), vec![], 1),
            (failed(4), vec!["--failed", "5,10"], 0),
            (failed(5), vec!["--failed", "5,10"], 1),
            (failed(10), vec!["--failed", "5,10"], 2),
            (old(899_999), vec![], 0),
            (old(900_000), vec![], 1),
            (old(3_600_000), vec![], 2),
            (old(3_600_000), vec!["--pending-age", "2h"], 0),
            (unrouted(900_000), vec![], 1),
            (unrouted(3_600_000), vec![], 2),
            (down(0), vec![], 1),
            (down(900_000), vec![], 2),
            (down(900_000), vec!["--down", "1h,24h"], 0),
        ] {
            let (found, line) = judged(&snapshot, &more);
            assert_eq!(found, code, "{line} {more:?}");
        }
    }

    #[test]
    fn only_the_named_targets_are_checked_and_disabled_ones_never() {
        let failed = || target("up", Counts { failed: 7, ..Counts::default() });
        let off = TargetStatus { enabled: false, ..failed() };
        let snapshot = running(vec![("a", failed()), ("b", target("up", Counts::default())), ("off", off)]);
        assert_eq!(judged(&snapshot, &["--target", "b"]).0, 0);
        let (code, line) = judged(&snapshot, &["--target", "a", "--target", "off"]);
        assert!(code == 1 && !line.contains("off"), "{line}");
    }

    #[test]
    fn without_a_host_or_a_store_nothing_is_delivered() {
        let alone = StatusSnapshot { hosts: Vec::new(), ..running(Vec::new()) };
        let (code, line) = judged(&alone, &[]);
        assert!(code == 2 && line.starts_with("CRITICAL - no host runs on this store; "), "{line}");
        let gone = Judged::unreadable(&CliError::Database("no answer".to_owned()));
        assert_eq!((gone.level(), gone.line().as_str()), (Level::Critical, "CRITICAL - no answer"));
        let misused = Judged::unreadable(&CliError::Usage("no target `x`".to_owned()));
        assert_eq!(misused.level() as u8, 3);
        let full = AttentionSummary { write_trouble: Some("the disk is full".to_owned()), ..attention() };
        assert_eq!(Judged::of(&running(Vec::new()), &full, &arguments(&[])).level(), Level::Critical);
    }

    #[test]
    fn thresholds_that_make_no_sense_are_refused() {
        for bad in ["", "5m,", "x", "5", "-5m", "1h,5m", "1m,2m,3m"] {
            assert!(ages(bad).is_err(), "{bad}");
        }
        for bad in ["", "1,", "-1", "1.5", "3,2", "1,2,3"] {
            assert!(counts(bad).is_err(), "{bad}");
        }
        assert_eq!(ages("90s, 1h30m"), Ok(Thresholds { warning: 90_000, critical: Some(5_400_000) }));
    }
}
