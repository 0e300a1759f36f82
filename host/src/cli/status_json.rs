//! `host status --json`: the content of the text output for machines. Its fields are a contract (docs/commands.md).

use serde_json::{Map, Value, json};

use super::status_summary::{AttentionSummary, differences, error_of};
use super::verify::verification_json;
use super::waiting;
use crate::store::{Counts, StatusSnapshot, TargetStatus};

fn counts_json(counts: &Counts) -> Map<String, Value> {
    match serde_json::to_value(counts) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

pub(super) fn as_json(snapshot: &StatusSnapshot, attention: &AttentionSummary) -> Value {
    let targets: Map<String, Value> = snapshot
        .targets
        .iter()
        .map(|(name, target)| (name.clone(), target_json(target, snapshot.hosts_with(name).len())))
        .collect();
    let recent: Vec<_> = snapshot
        .recent
        .iter()
        .map(|recent| {
            json!({
                "patient_id": recent.key.aggregate_id,
                "aggregate_type": recent.key.aggregate_type,
                "aggregate_id": recent.key.aggregate_id,
                "change_id": recent.change_id,
                "target": recent.target,
                "status": recent.status,
                "remote_id": recent.remote_id,
                "attempts": recent.attempts,
                "error_kind": recent.error_kind,
                "error": error_of(recent, snapshot),
                "finished_at": recent.finished_at,
            })
        })
        .collect();
    json!({
        "totals": counts_json(&snapshot.totals()),
        "unrouted": snapshot.unrouted,
        "unrouted_is_estimate": snapshot.unrouted_is_estimate,
        "oldest_unrouted_ms": snapshot.oldest_unrouted_ms,
        "hosts_running": snapshot.hosts.len(),
        "host_differences": differences(snapshot).iter().map(ToString::to_string).collect::<Vec<_>>(),
        "targets": targets,
        "conflicts": attention.conflicts,
        "blocked": attention.blocked,
        "waiting": attention.waiting.iter().map(|(name, one)| waiting::as_json(name, one)).collect::<Vec<_>>(),
        "notices": attention.notices,
        "alerts": attention.alerts,
        "clock": attention.clock,
        "store_trouble": attention.write_trouble,
        "recent": recent,
    })
}

/// Fields that name aggregates one by one.
const OF_PATIENTS: [&str; 3] = ["blocked", "recent", "waiting"];

/// The same, with no patient's id: what is listed one by one is left empty, and alerts have no example.
pub(super) fn without_patients(mut status: Value) -> Value {
    for field in OF_PATIENTS {
        status[field] = json!([]);
    }
    for alert in status["alerts"].as_array_mut().into_iter().flatten() {
        alert["example"] = Value::Null;
    }
    status
}

fn target_json(target: &TargetStatus, hosts: usize) -> Value {
    let mut object = counts_json(&target.counts);
    let adapter = target
        .adapter_sha256
        .as_ref()
        .map(|sha256| json!({"name": target.adapter_name, "version": target.adapter_version, "sha256": sha256}));
    let facts = json!({
        "state": if target.enabled && target.paused { "paused" } else { target.state.as_str() },
        "paused_until": target.paused_until,
        "enabled": target.enabled,
        "hosts": hosts,
        "waiting_for_references": target.waiting,
        "verified": target.verified.as_ref().map(verification_json),
        "breaker": target.breaker,
        "adapter": adapter,
        "held": target.held,
        "summary": target.summary,
        "oldest_pending_ms": target.oldest_pending_ms,
        "estimate_ms": target.estimate_ms,
        "last_delivery_ms": target.last_delivery_ms,
        "error_kind": target.error_kind,
        "error": target.error_message,
    });
    if let Value::Object(facts) = facts {
        object.extend(facts);
    }
    Value::Object(object)
}
