//! `host verify`: compares a target's records with what was delivered, and can queue differing ones again.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::aggregate;
use super::error::CliError;
use super::output::{line, printable, time};
use super::trail::AuditTrail;
use super::{output, signals, wiring};
use crate::config::{Config, TargetConfig};
use crate::domain::audit::AuditSubject;
use crate::domain::change::Failure;
use crate::plugin::Adapter;
use crate::store::{FoundRecord, NotInStore, Store, UnlinkedRecord, Verification};
use crate::sync::{Repaired, Verifier, VerifyError, listed_types, observed_types, repair};
use crate::target::{CheckedAdapter, Target};

/// How often it starts again after another host has overtaken it.
const STARTS_MAX: u32 = 5;
/// How often a long verification reports its progress.
const REPORT_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Verify this target
    #[arg(long)]
    target: String,
    /// Verify these types only, separated by commas
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    types: Vec<String>,
    /// Queue the current state of each record that differs
    #[arg(long)]
    repair: bool,
    /// Verify at most this many records a second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,
    /// List at most this many records that differ
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    limit: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The result of a verification.
struct Verified {
    verification: Verification,
    findings: Vec<FoundRecord>,
    not_in_store: Vec<UnlinkedRecord>,
    repaired: Option<Repaired>,
}

pub(super) async fn run(config: &Config, trail: &AuditTrail, arguments: &Arguments) -> Result<ExitCode, CliError> {
    trail.about(about(arguments));
    let target = wiring::target_config(config, &arguments.target)?;
    if let Some(kind) = arguments.types.iter().find(|kind| !aggregate::takes(target, kind)) {
        return Err(aggregate::not_taken(target, kind));
    }
    // How far a verification has come is no change of an operator's; a repair is.
    let store = trail.writable_store(config).await?.unaudited();
    wiring::know_target(&store, target).await?;
    let runtime = wiring::runtime(config)?;
    let stop = signals::stop_token().map_err(|error| CliError::Failed(error.to_string()))?;
    let at = wiring::target(target)?;
    let adapter = runtime.load(&target.adapter, at.world()).await?;
    let types = types(&adapter, &at.spec.aggregate_types, &arguments.types)?;
    let report = match at.check(&adapter).await {
        Ok(report) => report,
        Err(failure) => return Err(failed(target, &failure)),
    };
    let checked = CheckedAdapter::new(adapter, report.state);
    let types = VerifiedTypes { listed: listed_types(&checked.adapter, &types), observed: types };
    let verified = tokio::select! {
        verified = verify(&store, trail, target, &at, &checked, &types, arguments) => verified,
        () = stop.cancelled() => {
            return Err(CliError::Failed("stopped; the same command goes on where it stopped".to_owned()));
        }
    };
    at.close().await;
    let verified = verified?.map_err(|failure| failed(target, &failure))?;
    trail.shown(&store, "finding", verified.findings.len() + verified.not_in_store.len()).await?;
    Ok(show(target, &verified, arguments))
}

/// The types that are compared with what was delivered, and those of which our records are listed.
struct VerifiedTypes {
    observed: Vec<String>,
    listed: Vec<String>,
}

fn about(arguments: &Arguments) -> AuditSubject {
    let subject = AuditSubject::default().at(Some(&arguments.target));
    if arguments.repair { subject.with_detail("repair") } else { subject }
}

/// The types to verify, in order. A named type that the adapter does not observe is an error.
fn types(adapter: &Adapter, all: &[String], named: &[String]) -> Result<Vec<String>, CliError> {
    let wanted = if named.is_empty() { all } else { named };
    let types = observed_types(adapter, wanted);
    if let Some(kind) = named.iter().find(|kind| !types.contains(kind)) {
        return Err(CliError::Usage(format!(
            "cannot verify `{kind}`: adapter {} does not observe it; fix: use an adapter that does, see plugins/README.md",
            adapter.descriptor().name
        )));
    }
    if types.is_empty() {
        let name = &adapter.descriptor().name;
        return Err(CliError::Usage(format!("cannot verify: adapter {name} observes none of the target's types")));
    }
    Ok(types)
}

async fn verify(
    store: &Store,
    trail: &AuditTrail,
    config: &TargetConfig,
    target: &Target,
    adapter: &CheckedAdapter,
    types: &VerifiedTypes,
    arguments: &Arguments,
) -> Result<Result<Verified, Failure>, CliError> {
    let name = config.name.as_str();
    let VerifiedTypes { observed, listed } = types;
    let (mut verification, goes_on) = store.begin_verification(name, observed, listed).await?;
    if goes_on && !arguments.json {
        line(&format!("going on behind {} verified records", verification.counts.checked));
    }
    let verifier = Verifier { store, target, adapter, rate: arguments.rate };
    let mut reported = Instant::now();
    let (mut has_begun, mut starts) = (false, 1);
    loop {
        let began = Instant::now();
        let records = match verifier.step(&mut verification).await {
            Ok(Some(records)) => {
                has_begun = true;
                records
            }
            Ok(None) => break,
            // A daemon ended its own verification between the two reads.
            Err(VerifyError::Overtaken) if !has_begun && starts < STARTS_MAX => {
                starts += 1;
                verification = store.begin_verification(name, observed, listed).await?.0;
                continue;
            }
            Err(VerifyError::Target(failure)) => return Ok(Err(failure)),
            Err(VerifyError::Store(error)) => return Err(error.into()),
            Err(VerifyError::Overtaken) => {
                return Err(CliError::Failed(format!("another command verifies target `{name}` at the moment")));
            }
        };
        if reported.elapsed() >= REPORT_EVERY {
            output::progress(&format!("{} records verified", verification.counts.checked));
            reported = Instant::now();
        }
        tokio::time::sleep(verifier.pause(records, began.elapsed())).await;
    }
    let repaired = if arguments.repair {
        let store = trail.audited(store);
        Some(repair(&store, &config.name, observed, config.on_remote_edit).await?)
    } else {
        None
    };
    let verification = store.verifications(name).await?.last.unwrap_or(verification);
    let findings = findings(store, name, observed, arguments.limit).await?;
    let not_in_store = not_in_store(store, name, listed, arguments.limit).await?;
    Ok(Ok(Verified { verification, findings, not_in_store, repaired }))
}

async fn not_in_store(
    store: &Store,
    target: &str,
    types: &[String],
    limit: u32,
) -> Result<Vec<UnlinkedRecord>, CliError> {
    let mut found = Vec::new();
    for kind in types {
        let left = limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        if left > 0 {
            found.extend(store.unlinked_records(target, kind, left).await?);
        }
    }
    Ok(found)
}

async fn findings(store: &Store, target: &str, types: &[String], limit: u32) -> Result<Vec<FoundRecord>, CliError> {
    let mut found = Vec::new();
    for kind in types {
        let left = limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        if left > 0 {
            found.extend(store.verification_findings(target, kind, "", left).await?);
        }
    }
    Ok(found)
}

/// One sentence about a finished verification, for operators and auditors.
pub(super) fn sentence(target: &str, verification: &Verification) -> String {
    let counts = &verification.counts;
    let kinds = [
        (counts.edited, "edited"),
        (counts.gone, "gone"),
        (counts.several, "there several times"),
        (counts.not_ours, "not ours"),
        (counts.unknown, "unknown"),
        (counts.moved, "delivered meanwhile"),
    ];
    let kinds = kinds.iter().filter(|(count, _)| *count > 0).map(|(count, label)| format!("{count} {label}"));
    let others: Vec<_> = kinds.chain(verification.not_in_store.iter().flat_map(not_in_store_words)).collect();
    let others = if others.is_empty() { String::new() } else { format!("; {}", others.join(", ")) };
    let at = verification.finished_at.map_or_else(|| "not finished yet".to_owned(), |at| format!("at {}", time(at)));
    format!(
        "{target} equals the store for {} of {} records of {}, verified through change {} {at}{others}",
        counts.equal(),
        counts.checked,
        verification.types.join(", "),
        verification.through
    )
}

/// What the target has of ours that the store does not know.
fn not_in_store_words(found: &NotInStore) -> Vec<String> {
    let least = if found.is_least { "at least " } else { "" };
    let records = format!("{least}{} at the target that the store does not know", found.records);
    let not_listed = format!("cannot list {}", found.not_listed.join(", "));
    [(found.records > 0, records), (!found.not_listed.is_empty(), not_listed)]
        .into_iter()
        .filter_map(|(is_so, words)| is_so.then_some(words))
        .collect()
}

fn show(target: &TargetConfig, verified: &Verified, arguments: &Arguments) -> ExitCode {
    let Verified { verification, findings, not_in_store, repaired } = verified;
    let differ = verification.counts.checked - verification.counts.equal() - verification.counts.moved;
    if arguments.json {
        output::json(&as_json(target.name.as_str(), verified));
    } else {
        line(&sentence(target.name.as_str(), verification));
        for found in findings {
            line(&format!("   {}: {}", found.finding.as_str(), printable(&found.key.to_string())));
        }
        let shown = u64::try_from(findings.len()).unwrap_or(u64::MAX);
        if differ > shown {
            line(&format!("   and {} more: --limit {differ} lists all", differ - shown));
        }
        show_not_in_store(verification, not_in_store);
        match repaired {
            Some(Repaired { queued, left }) => {
                line(&format!("{queued} queued for repair; `host run` delivers them, then verify again"));
                if *left > 0 {
                    line(&format!("   {left} left: on their way, or without a state; see `host resync`"));
                }
            }
            None if differ > 0 => line("fix: `host verify --repair` delivers the current states again"),
            None => {}
        }
    }
    ExitCode::from(u8::from(differ > 0))
}

fn show_not_in_store(verification: &Verification, listed: &[UnlinkedRecord]) {
    let Some(found) = &verification.not_in_store else {
        line("   the adapter cannot list what the target has of ours");
        return;
    };
    for record in listed {
        let UnlinkedRecord { aggregate_type, aggregate_id, remote_id, .. } = record;
        line(&format!(
            "   not in the store: {}",
            printable(&format!("{aggregate_type} {aggregate_id} as {remote_id}"))
        ));
    }
    let shown = u64::try_from(listed.len()).unwrap_or(u64::MAX);
    if found.records > shown {
        line(&format!(
            "   and {} more that are not in the store: --limit {} lists all",
            found.records - shown,
            found.records
        ));
    }
    if found.records > 0 {
        line("   nothing repairs these: see \"Records that the store does not know\" in docs/operations.md");
    }
}

/// A verification as JSON.
pub(super) fn verification_json(verification: &Verification) -> Value {
    json!({
        "types": verification.types,
        "equal": verification.counts.equal(),
        "counts": verification.counts,
        "not_in_store": verification.not_in_store,
        "through_change_id": verification.through,
        "started_at": verification.started_at,
        "finished_at": verification.finished_at,
    })
}

fn as_json(target: &str, verified: &Verified) -> Value {
    let findings: Vec<_> = verified
        .findings
        .iter()
        .map(|found| {
            json!({
                "aggregate_type": found.key.aggregate_type,
                "aggregate_id": found.key.aggregate_id,
                "state": found.finding.as_str(),
                "found_at": found.found_at,
            })
        })
        .collect();
    let unlinked = |record: &UnlinkedRecord| {
        json!({
            "aggregate_type": record.aggregate_type,
            "aggregate_id": record.aggregate_id,
            "remote_id": record.remote_id,
            "found_at": record.found_at,
        })
    };
    let not_in_store: Vec<_> = verified.not_in_store.iter().map(unlinked).collect();
    json!({
        "target": target,
        "verification": verification_json(&verified.verification),
        "findings": findings,
        "not_in_store": not_in_store,
        "repair": verified.repaired.map(|repaired| json!({ "queued": repaired.queued, "left": repaired.left })),
    })
}

fn failed(target: &TargetConfig, failure: &Failure) -> CliError {
    let message = format!(
        "cannot verify target `{}`: {}: {}; the same command goes on where it stopped",
        target.name,
        failure.kind.as_str(),
        failure.message
    );
    CliError::of_failure(failure.kind, message)
}
