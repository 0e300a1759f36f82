//! What the hosts of a store have in common, and where they differ: pure comparison of what each of them registered.
//!
//! A difference is not an error while a target is added machine by machine, but an operator must see it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::store::{RunningHost, TargetTypes};

/// One way in which the running hosts of a store differ.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// The store has the target enabled, and no running host has it.
    NobodyHas { target: String },
    /// Some running hosts have the target, others do not.
    SomeLack {
        target: String,
        /// The hosts without it.
        lacking: Vec<String>,
    },
    /// Running hosts send different types of aggregates there.
    TypesDiffer { target: String },
}

impl Difference {
    #[must_use]
    pub fn target(&self) -> &str {
        match self {
            Self::NobodyHas { target } | Self::SomeLack { target, .. } | Self::TypesDiffer { target } => target,
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NobodyHas { target } => write!(
                formatter,
                "no running host has target `{target}`, which the store has enabled: its changes wait; fix: start a host \
                 that has it, or `host target disable {target}`"
            ),
            Self::SomeLack { target, lacking } => write!(
                formatter,
                "not every host has target `{target}`: those without it leave its deliveries to the others ({})",
                lacking.join(", ")
            ),
            Self::TypesDiffer { target } => write!(
                formatter,
                "the running hosts do not agree on the aggregate_types of target `{target}`: all of them are sent there; \
                 fix: configure the same on every host"
            ),
        }
    }
}

/// Where the running hosts differ from each other, and from what the store has enabled.
#[must_use]
pub fn differences<'a>(running: &[RunningHost], enabled: impl IntoIterator<Item = &'a str>) -> Vec<Difference> {
    // A host of an older version does not register its targets, so that nothing can be compared.
    let known: Vec<(&str, &TargetTypes)> =
        running.iter().filter_map(|host| Some((host.id.as_str(), host.targets.as_ref()?))).collect();
    if known.len() < running.len() || known.is_empty() {
        return Vec::new();
    }
    let mut targets: BTreeMap<&str, Vec<&BTreeSet<String>>> =
        enabled.into_iter().map(|name| (name, Vec::new())).collect();
    for (name, types) in known.iter().flat_map(|(_, targets)| targets.iter()) {
        targets.entry(name.as_str()).or_default().push(types);
    }
    let mut found = Vec::new();
    for (name, types) in targets {
        let target = name.to_owned();
        if types.is_empty() {
            found.push(Difference::NobodyHas { target });
            continue;
        }
        if types.windows(2).any(|pair| pair[0] != pair[1]) {
            found.push(Difference::TypesDiffer { target: target.clone() });
        }
        let lacks = |(_, targets): &&(&str, &TargetTypes)| !targets.contains_key(name);
        let lacking: Vec<_> = known.iter().filter(lacks).map(|(id, _)| (*id).to_owned()).collect();
        if !lacking.is_empty() {
            found.push(Difference::SomeLack { target, lacking });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::TargetName;

    fn host(id: &str, targets: &[(&str, &[&str])]) -> RunningHost {
        let types = |types: &[&str]| types.iter().map(|kind| (*kind).to_owned()).collect();
        let targets = targets.iter().map(|(name, of)| (TargetName::new(*name).expect("a name"), types(of))).collect();
        RunningHost { id: id.to_owned(), targets: Some(targets) }
    }

    #[test]
    fn differences_between_hosts_are_named() {
        type Case = (&'static str, Vec<RunningHost>, &'static [&'static str], Vec<Difference>);
        let (a, b) = (host("a", &[("x", &["patient"])]), host("b", &[("x", &["patient"]), ("y", &["patient"])]));
        let other_types = host("c", &[("x", &["note"])]);
        let older = RunningHost { id: "d".to_owned(), targets: None };
        let lacks = |id: &str| Difference::SomeLack { target: "y".to_owned(), lacking: vec![id.to_owned()] };
        let cases: [Case; 6] = [
            ("no host runs", vec![], &["x"], vec![]),
            ("alone and complete", vec![a.clone()], &["x"], vec![]),
            ("alike", vec![b.clone(), b.clone()], &["x", "y"], vec![]),
            ("one lacks a target", vec![a.clone(), b.clone()], &["x", "y"], vec![lacks("a")]),
            ("all lack one", vec![a.clone()], &["x", "z"], vec![Difference::NobodyHas { target: "z".to_owned() }]),
            ("one does not say", vec![a.clone(), older], &["x", "y"], vec![]),
        ];
        for (what, running, enabled, expected) in cases {
            assert_eq!(differences(&running, enabled.iter().copied()), expected, "{what}");
        }
        let found = differences(&[a, other_types], ["x"]);
        assert_eq!(found, [Difference::TypesDiffer { target: "x".to_owned() }]);
    }
}
