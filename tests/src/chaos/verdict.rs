//! Finds what is wrong with the evidence: the promises of the engine as checks. Pure, so that each check is tested on a
//! state that breaks just that promise.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    evidence::{Change, Evidence, FHIR, Link, OPENEMR},
    records,
};

/// Every violation, the gravest first; none is a pass.
pub(crate) fn violations(evidence: &Evidence) -> Vec<String> {
    let newest = newest_changes(evidence);
    let mut found = Vec::new();
    found.extend(lost_changes(evidence, &newest));
    found.extend(order_of_changes(evidence));
    found.extend(openemr(evidence, &newest));
    found.extend(fhir(evidence, &newest));
    found.extend(backwards(evidence));
    found.extend(registry(evidence));
    found.extend(rival(evidence));
    found.extend(links(evidence, &newest));
    found.extend(records::violations(evidence, &newest));
    found.extend(cache(evidence, &newest));
    found.extend(stuck(evidence, &newest));
    if evidence.panics > 0 {
        found.push(format!("the hosts' logs tell of {} panics", evidence.panics));
    }
    found
}

/// The newest change of each aggregate, by id. Ids of different types differ.
pub(super) type Newest<'a> = BTreeMap<&'a str, &'a Change>;

pub(super) fn newest_changes(evidence: &Evidence) -> Newest<'_> {
    // They are sorted by id, so that the last one stays.
    evidence.changes.iter().map(|change| (change.aggregate_id.as_str(), change)).collect()
}

fn lost_changes(evidence: &Evidence, newest: &Newest<'_>) -> Vec<String> {
    let is_lost = |(patient, version): &(&String, &i64)| {
        newest.get(patient.as_str()).is_none_or(|change| change.version < **version)
    };
    let lost = evidence.acknowledged.iter().filter(is_lost);
    lost.map(|(patient, version)| format!("{patient}: version {version} was confirmed by the store and is gone"))
        .collect()
}

/// Of one patient a larger id is a newer state: everything rests on it.
fn order_of_changes(evidence: &Evidence) -> Vec<String> {
    let mut last: BTreeMap<&str, &Change> = BTreeMap::new();
    let mut found = Vec::new();
    for change in &evidence.changes {
        if let Some(before) = last.insert(&change.aggregate_id, change)
            && before.version >= change.version
        {
            found.push(format!(
                "{}: outbox row {} has version {}, and the older row {} has version {}",
                change.aggregate_id, change.id, change.version, before.id, before.version
            ));
        }
    }
    found
}

/// The newest change of each patient.
fn patients<'a>(newest: &'a Newest<'_>) -> impl Iterator<Item = (&'a str, &'a Change)> {
    newest.iter().map(|(patient, change)| (*patient, *change)).filter(|(_, change)| change.is_patient())
}

fn openemr(evidence: &Evidence, newest: &Newest<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for (patient, change) in patients(newest) {
        let charts: Vec<_> = evidence.charts.iter().filter(|chart| chart.public_id == patient).collect();
        match charts.as_slice() {
            // A removal and a merge write no state, and make no chart.
            [] | [_] if change.removes || change.survivor().is_some() => {}
            [] => found.push(format!("{patient}: no chart in OpenEMR")),
            [chart] if chart.version != change.version => {
                found.push(format!("{patient}: OpenEMR has version {}, not {}", chart.version, change.version));
            }
            [_] => {}
            several => found.push(format!("{patient}: {} charts in OpenEMR", several.len())),
        }
    }
    let unknown = evidence.charts.iter().filter(|chart| !chart.public_id.starts_with("W-"));
    let unknown = unknown.filter(|chart| !newest.contains_key(chart.public_id.as_str()));
    found.extend(unknown.map(|chart| format!("{}: a chart in OpenEMR without any change", chart.public_id)));
    found
}

fn fhir(evidence: &Evidence, newest: &Newest<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for (patient, change) in patients(newest) {
        let resources: Vec<_> = evidence.resources.iter().filter(|resource| resource.aggregate_id == patient).collect();
        let is_merged = change.survivor().is_some();
        match resources.as_slice() {
            [] if change.removes || is_merged => {}
            [] => found.push(format!("{patient}: no Patient at the FHIR server")),
            [resource] => {
                let version = resource.versions.last().copied().unwrap_or_default();
                // A merge writes no state.
                if version != change.version && !is_merged {
                    found.push(format!("{patient}: the FHIR server has version {version}, not {}", change.version));
                }
                if resource.is_active == (change.removes || is_merged) {
                    let active = resource.is_active;
                    found.push(format!("{patient}: active is {active} at the FHIR server after the last change"));
                }
            }
            several => found.push(format!("{patient}: {} Patients at the FHIR server", several.len())),
        }
    }
    let unknown = evidence.resources.iter().filter(|resource| !newest.contains_key(resource.aggregate_id.as_str()));
    found.extend(unknown.map(|resource| format!("{}: a resource without any change", resource.aggregate_id)));
    found
}

/// No state at a target ever went backwards.
fn backwards(evidence: &Evidence) -> Vec<String> {
    let mut last: BTreeMap<&str, i64> = BTreeMap::new();
    let mut found = Vec::new();
    for (public_id, version) in &evidence.chart_history {
        if let Some(before) = last.insert(public_id, *version)
            && before > *version
        {
            found.push(format!("{public_id}: OpenEMR went back from version {before} to {version}"));
        }
    }
    for resource in &evidence.resources {
        for pair in resource.versions.windows(2).filter(|pair| pair[0] > pair[1]) {
            found.push(format!(
                "{}: the FHIR server went back from version {} to {}",
                resource.aggregate_id, pair[0], pair[1]
            ));
        }
    }
    found
}

fn registry(evidence: &Evidence) -> Vec<String> {
    let mut found = Vec::new();
    if evidence.orphans > 0 {
        found.push(format!("{} rows of uuid_registry have no chart", evidence.orphans));
    }
    let missing = evidence.charts.iter().filter(|chart| !chart.is_registered && !chart.public_id.starts_with("W-"));
    found.extend(missing.map(|chart| format!("{}: its uuid is not in uuid_registry", chart.public_id)));
    found
}

/// What OpenEMR's own writer put there is as it was written.
fn rival(evidence: &Evidence) -> Vec<String> {
    let mut numbers: Vec<u64> = Vec::new();
    let mut found = Vec::new();
    for chart in &evidence.charts {
        if let Some(number) = chart.public_id.strip_prefix("W-").and_then(|number| number.parse().ok()) {
            numbers.push(number);
            if u64::try_from(chart.version) != Ok(number) {
                found.push(format!("{}: OpenEMR's own chart was changed", chart.public_id));
            }
        }
    }
    numbers.sort_unstable();
    // The change whose confirmation was lost at the very end may also be there.
    let expected = |last: u64| numbers.iter().copied().eq(1..=last);
    if !expected(evidence.rival_charts) && !expected(evidence.rival_charts + 1) {
        found.push(format!("OpenEMR's own writer made {} charts, {} are there", evidence.rival_charts, numbers.len()));
    }
    found
}

fn links(evidence: &Evidence, newest: &Newest<'_>) -> Vec<String> {
    let mut there: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for chart in &evidence.charts {
        there.entry((OPENEMR, &chart.public_id)).or_default().insert(&chart.pid);
    }
    for row in &evidence.rows {
        there.entry((OPENEMR, &row.aggregate_id)).or_default().insert(&row.remote_id);
    }
    for resource in &evidence.resources {
        there.entry((FHIR, &resource.aggregate_id)).or_default().insert(&resource.id);
    }
    let links: BTreeMap<(&str, &str), &Link> =
        evidence.links.iter().map(|link| ((link.target.as_str(), link.aggregate_id.as_str()), link)).collect();
    let mut found = Vec::new();
    for (patient, change) in newest {
        for target in [OPENEMR, FHIR] {
            match links.get(&(target, *patient)) {
                None if change.removes => {}
                None => found.push(format!("{patient}: no link to {target}")),
                Some(link) => {
                    let remote = there.get(&(target, *patient));
                    let may_lack = change.removes || change.survivor().is_some();
                    let is_known_to_lack = may_lack && remote.is_none() && link.remote_id.is_empty();
                    if !is_known_to_lack && remote.is_none_or(|ids| !ids.contains(link.remote_id.as_str())) {
                        found.push(format!(
                            "{patient}: the link to {target} leads to {}, which it is not",
                            link.remote_id
                        ));
                    }
                    if link.delivered_outbox_id != change.id && !change.removes {
                        found.push(format!(
                            "{patient}: {target} confirmed outbox row {}, the newest is {}",
                            link.delivered_outbox_id, change.id
                        ));
                    }
                }
            }
        }
    }
    found
}

fn cache(evidence: &Evidence, newest: &Newest<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let remote = |target: &str, patient: &str| {
        let link = evidence.links.iter().find(|link| link.target == target && link.aggregate_id == patient);
        link.map(|link| link.remote_id.clone()).filter(|remote_id| !remote_id.is_empty())
    };
    for (patient, change) in patients(newest) {
        let Some(cached) = evidence.cache.get(patient) else {
            if !change.removes {
                found.push(format!("{patient}: not in patient_cache"));
            }
            continue;
        };
        if cached.version != change.version {
            found.push(format!(
                "{patient}: patient_cache has version {}, the outbox {}",
                cached.version, change.version
            ));
        }
        for (target, id) in [(OPENEMR, &cached.openemr_id), (FHIR, &cached.fhir_id)] {
            if *id != remote(target, patient) {
                found.push(format!("{patient}: patient_cache has another id for {target} than the link"));
            }
        }
    }
    found
}

/// Nothing is pending or waiting, in flight, or left to an operator; every change was routed to both targets.
fn stuck(evidence: &Evidence, newest: &Newest<'_>) -> Vec<String> {
    let mut found = Vec::new();
    if evidence.leases > 0 {
        found.push(format!("{} leases are left", evidence.leases));
    }
    let mut routed: BTreeMap<i64, usize> = BTreeMap::new();
    for delivery in &evidence.deliveries {
        *routed.entry(delivery.outbox_id).or_default() += 1;
        let is_newest =
            newest.get(delivery.aggregate_id.as_str()).is_some_and(|change| change.id == delivery.outbox_id);
        let what = format!("{}: outbox row {} for {}", delivery.aggregate_id, delivery.outbox_id, delivery.target);
        match delivery.status.as_str() {
            "done" => {}
            "superseded" if !is_newest => {}
            status => {
                let error = delivery.error.as_deref().unwrap_or("no error");
                found.push(format!("{what} is {status} after {} attempts ({error})", delivery.attempts));
            }
        }
        if delivery.is_active {
            found.push(format!("{what} still blocks its patient"));
        }
    }
    for change in &evidence.changes {
        if !change.is_routed || routed.get(&change.id) != Some(&2) {
            found.push(format!("{}: outbox row {} was not routed to both targets", change.aggregate_id, change.id));
        }
    }
    found
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
