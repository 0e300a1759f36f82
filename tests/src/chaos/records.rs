//! Finds what is wrong with clinical records and merged patients at the targets, by the model that the application's
//! own changes are: the newest change of an aggregate is its state, and a merged patient is whom the chain of survivors
//! ends with. Pure, as `verdict.rs`, which calls it.

use std::collections::BTreeMap;

use super::{
    evidence::{Change, Evidence, FHIR, OPENEMR},
    verdict::Newest,
};

/// A record as a target has it, of a patient too.
#[derive(Default)]
struct Held<'a> {
    remote_id: &'a str,
    /// The target's ids of what it refers to.
    subject: Option<&'a str>,
    encounter: Option<&'a str>,
    merged_into: Option<&'a str>,
    version: i64,
    /// `None` when the target shows it nowhere and did not hide it.
    is_hidden: Option<bool>,
}

/// All records of a target, by our ids.
type Holdings<'a> = BTreeMap<&'a str, Vec<Held<'a>>>;

/// Every violation; none is a pass.
pub(super) fn violations(evidence: &Evidence, newest: &Newest<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for (target, holdings) in [(OPENEMR, in_openemr(evidence)), (FHIR, at_fhir(evidence))] {
        for (id, change) in newest {
            let problem = if change.is_patient() {
                misdirected(change, &holdings, newest)
            } else {
                wrong(change, &holdings, newest)
            };
            found.extend(problem.map(|problem| format!("{id}: {problem} at {target}")));
        }
    }
    let unknown = evidence.rows.iter().filter(|row| !newest.contains_key(row.aggregate_id.as_str()));
    found.extend(unknown.map(|row| format!("{}: a record in OpenEMR without any change", row.aggregate_id)));
    found
}

fn in_openemr(evidence: &Evidence) -> Holdings<'_> {
    let mut holdings = Holdings::new();
    for chart in &evidence.charts {
        let merged_into = chart.merged_into.as_deref();
        let held = Held { remote_id: &chart.pid, merged_into, version: chart.version, ..Held::default() };
        holdings.entry(chart.public_id.as_str()).or_default().push(held);
    }
    for row in &evidence.rows {
        holdings.entry(row.aggregate_id.as_str()).or_default().push(Held {
            remote_id: &row.remote_id,
            subject: Some(&row.pid),
            encounter: row.encounter.as_deref(),
            merged_into: None,
            version: row.version,
            is_hidden: row.is_hidden,
        });
    }
    holdings
}

fn at_fhir(evidence: &Evidence) -> Holdings<'_> {
    let mut holdings = Holdings::new();
    for resource in &evidence.resources {
        holdings.entry(resource.aggregate_id.as_str()).or_default().push(Held {
            remote_id: &resource.id,
            subject: resource.subject.as_deref(),
            encounter: resource.encounter.as_deref(),
            merged_into: resource.replaced_by.as_deref(),
            version: resource.versions.last().copied().unwrap_or_default(),
            is_hidden: Some(!resource.is_active),
        });
    }
    holdings
}

/// The target's id of an aggregate.
fn remote_id<'a>(holdings: &Holdings<'a>, id: &str) -> Option<&'a str> {
    Some(holdings.get(id)?.first()?.remote_id)
}

/// Who stands for a patient: the last of the survivors. A model with a circle has nobody.
fn standing<'a>(newest: &Newest<'a>, patient: &'a str) -> Option<&'a str> {
    let mut last = patient;
    for _ in 0..=newest.len() {
        match newest.get(last)?.survivor() {
            Some(survivor) => last = survivor,
            None => return Some(last),
        }
    }
    None
}

/// What is wrong with the mark of a merged patient. How often the patient is there, and in which state, is checked
/// elsewhere.
fn misdirected(change: &Change, holdings: &Holdings<'_>, newest: &Newest<'_>) -> Option<String> {
    let there = holdings.get(change.aggregate_id.as_str())?.first()?;
    let Some(survivor) = change.survivor() else {
        let other = there.merged_into?;
        return Some(format!("marked as merged into {other}, which it is not,"));
    };
    let expected = standing(newest, survivor).and_then(|survivor| remote_id(holdings, survivor));
    (expected.is_none() || there.merged_into != expected)
        .then(|| format!("marked as merged into {:?}, not {expected:?},", there.merged_into))
}

/// What is wrong with a clinical record.
fn wrong(change: &Change, holdings: &Holdings<'_>, newest: &Newest<'_>) -> Option<String> {
    let there = match holdings.get(change.aggregate_id.as_str()).map_or(&[][..], Vec::as_slice) {
        [] if change.removes => return None,
        [] => return Some("not there".to_owned()),
        [there] => there,
        several => return Some(format!("{} records", several.len())),
    };
    let reference = |name: &str| change.refs.get(name).map(String::as_str);
    let patient = reference("subject").and_then(|patient| standing(newest, patient));
    let subject = patient.and_then(|patient| remote_id(holdings, patient));
    let encounter = reference("encounter").and_then(|encounter| remote_id(holdings, encounter));
    match there.is_hidden {
        None => Some("shown nowhere".to_owned()),
        // A deletion writes nothing else.
        Some(is_hidden) if change.removes => (!is_hidden).then(|| "still shown after its deletion".to_owned()),
        Some(true) => Some("hidden although it was not deleted".to_owned()),
        Some(false) if there.version != change.version => {
            Some(format!("in version {}, not {},", there.version, change.version))
        }
        Some(false) if subject.is_none() || there.subject != subject => {
            Some(format!("a record of the patient {:?}, not {subject:?},", there.subject))
        }
        Some(false) if there.encounter != encounter => {
            Some(format!("a record of the encounter {:?}, not {encounter:?},", there.encounter))
        }
        Some(false) => None,
    }
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;
