//! `host plugin rollback` and `host plugin reload`: an operator decides which adapter is active.
//!
//! Both write the desired state to the store. Running hosts follow within two seconds.

use std::process::ExitCode;

use crate::cli::error::CliError;
use crate::cli::trail::AuditTrail;
use crate::cli::{output, wiring};
use crate::config::Config;
use crate::domain::audit::AuditSubject;
use crate::domain::ids::TargetName;
use crate::store::{AdapterEvent, AdapterEventKind, AdapterRecord, Store};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Rollback {
    /// Roll back this target
    #[arg(long)]
    target: String,
    /// Activate the adapter whose digest begins like this
    #[arg(long, value_name = "SHA256")]
    to: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Reload {
    /// Select this target only
    #[arg(long)]
    target: Option<String>,
}

pub(super) async fn rollback(config: &Config, trail: &AuditTrail, arguments: &Rollback) -> Result<ExitCode, CliError> {
    let subject = AuditSubject::default().at(Some(&arguments.target));
    trail.about(subject.clone());
    let target = &wiring::target_config(config, &arguments.target)?.name;
    let store = trail.writable_store(config).await?;
    let desired = store.desired_state(target.as_str()).await?;
    let Some(active) = desired.adapter_sha256 else {
        return Err(CliError::Failed(format!("no adapter was activated at target `{target}` yet")));
    };
    let chosen = chosen(&store, target, &active, arguments.to.as_deref()).await?;
    if store.adapter_bytes(&chosen.sha256).await?.is_none() {
        return Err(CliError::Failed(format!(
            "the store no longer holds sha256:{}: put its file back instead",
            chosen.sha256
        )));
    }
    let event = AdapterEvent {
        target,
        name: chosen.name.as_deref().unwrap_or_default(),
        version: chosen.version.as_deref().unwrap_or_default(),
        sha256: &chosen.sha256,
        reason: Some("by an operator"),
        host: "command line",
    };
    trail.about(subject.with_detail(&format!("sha256:{}", chosen.sha256)));
    if !trail.audited(&store).roll_adapter_back(&active, &event).await? {
        return Err(CliError::Failed("another adapter was activated meanwhile; fix: run the command again".to_owned()));
    }
    output::line(&format!("target {target} rolls back to {} {} sha256:{}", event.name, event.version, event.sha256));
    report_followers(&store).await?;
    Ok(ExitCode::SUCCESS)
}

/// The earlier adapter to activate: the named one, or the last one that was not rolled back.
async fn chosen(store: &Store, target: &TargetName, active: &str, to: Option<&str>) -> Result<AdapterRecord, CliError> {
    let history = store.adapter_history(Some(target.as_str()), 1_000).await?;
    let Some(digits) = to.map(|digits| digits.trim_start_matches("sha256:")) else {
        return last_that_worked(&history, active).cloned().ok_or_else(|| {
            CliError::Failed(format!(
                "no other adapter has worked at target `{target}`: see `host plugin history`; `--to` can name any of \
                 them"
            ))
        });
    };
    let was_active = |record: &AdapterRecord| record.event.is_activation() && record.sha256 != active;
    history.into_iter().find(|record| was_active(record) && record.sha256.starts_with(digits)).ok_or_else(|| {
        CliError::Failed(format!(
            "no such adapter was active at target `{target}`; fix: choose one of `host plugin history`"
        ))
    })
}

/// The adapter that was active before this one. The history begins with the newest event. Adapters that were rolled
/// back are skipped, unless they were activated again later.
fn last_that_worked<'a>(history: &'a [AdapterRecord], active: &str) -> Option<&'a AdapterRecord> {
    let mut worked: Vec<&AdapterRecord> = Vec::new();
    let mut current: Option<&AdapterRecord> = None;
    for record in history.iter().rev().filter(|record| record.event.is_activation()) {
        if record.event == AdapterEventKind::RolledBack
            && let Some(broken) = current
        {
            worked.retain(|known| known.sha256 != broken.sha256);
        }
        worked.retain(|known| known.sha256 != record.sha256);
        worked.push(record);
        current = Some(record);
    }
    worked.into_iter().rev().find(|record| record.sha256 != active)
}

pub(super) async fn reload(config: &Config, trail: &AuditTrail, arguments: &Reload) -> Result<ExitCode, CliError> {
    trail.about(AuditSubject::default().at(arguments.target.as_deref()));
    let store = trail.writable_store(config).await?;
    let names: Vec<_> = match &arguments.target {
        Some(name) => vec![&wiring::target_config(config, name)?.name],
        None => config.enabled_targets().map(|target| &target.name).collect(),
    };
    for name in names {
        trail.about(AuditSubject::default().at(Some(name.as_str())));
        trail.audited(&store).request_reload(name).await?;
        output::line(&format!("target {name}: its adapter's file is loaded again"));
    }
    report_followers(&store).await?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn report_followers(store: &Store) -> Result<(), CliError> {
    if store.other_hosts("command line").await? == 0 {
        output::line("no host runs on this store; the next one that starts does it");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(events: &[(&str, AdapterEventKind)]) -> Vec<AdapterRecord> {
        let record = |(at, (sha256, event)): (i64, &(&str, AdapterEventKind))| AdapterRecord {
            target: "t".to_owned(),
            sha256: (*sha256).to_owned(),
            name: None,
            version: None,
            event: *event,
            reason: None,
            host: None,
            at,
        };
        let mut history: Vec<_> = (0..).zip(events).map(record).collect();
        history.reverse();
        history
    }

    #[test]
    fn rollback_picks_the_last_working_adapter_and_never_a_rolled_back_one() {
        use AdapterEventKind::{InForce, Refused, RolledBack};
        type Case = (&'static str, &'static [(&'static str, AdapterEventKind)], &'static str, Option<&'static str>);
        let cases: [Case; 7] = [
            ("the one before", &[("a", InForce), ("b", InForce)], "b", Some("a")),
            ("after an automatic roll-back", &[("a", InForce), ("b", InForce), ("a", RolledBack)], "a", None),
            (
                "after that, the one before both",
                &[("z", InForce), ("a", InForce), ("b", InForce), ("a", RolledBack)],
                "a",
                Some("z"),
            ),
            ("a rejected one was never active", &[("a", InForce), ("c", Refused)], "a", None),
            (
                "twice by an operator",
                &[("y", InForce), ("z", InForce), ("a", InForce), ("z", RolledBack)],
                "z",
                Some("y"),
            ),
            (
                "one that was activated again and replaced",
                &[("a", InForce), ("b", InForce), ("a", RolledBack), ("b", InForce), ("c", InForce)],
                "c",
                Some("b"),
            ),
            ("nothing before", &[("a", InForce)], "a", None),
        ];
        for (case, events, active, expected) in cases {
            let history = history(events);
            let found = last_that_worked(&history, active).map(|record| record.sha256.as_str());
            assert_eq!(found, expected, "{case}");
        }
    }
}
