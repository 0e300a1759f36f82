//! A type of aggregate as a FHIR server keeps it.
//!
//! Owns the value that makes one delivery serve every type: the resource type, the system of our identifier, and which
//! elements are ours. What each type writes is in `mapping`, one file each. It never looks at a record. Read next:
//! `ownership`, which splits a record by it.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::mapping;
use crate::settings::Settings;

/// What a type's records are at a server.
#[derive(Clone, Debug)]
pub(crate) struct Kind<'a> {
    /// FHIR's name of it: `Patient`.
    pub(crate) resource_type: Cow<'a, str>,
    /// The outbox's name of it: `patient`.
    pub(crate) aggregate_type: &'static str,
    /// The system of the identifier by which we find our records again.
    pub(crate) system: Cow<'a, str>,
    pub(crate) parts: &'static Parts,
    pub(crate) settings: &'a Settings,
}

/// Which elements of a resource type are ours.
pub(crate) struct Parts {
    /// Elements that belong to us as a whole. `onset[x]` stands for every form of that element.
    pub(crate) whole: &'static [&'static str],
    /// Elements of which those entries belong to us that fit.
    pub(crate) entries: &'static [(&'static str, IsOurs)],
    /// Elements that a state without them leaves as others wrote them, and removes where we wrote them.
    pub(crate) kept: &'static [&'static str],
    /// Makes a record say that the application deleted the aggregate.
    pub(crate) retire: fn(&mut Map<String, Value>),
}

/// Whether an entry of a list is one that our mapping writes.
pub(crate) type IsOurs = fn(&Kind<'_>, &Value) -> bool;

impl std::fmt::Debug for Parts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Parts").field("whole", &self.whole).finish_non_exhaustive()
    }
}

impl<'a> Kind<'a> {
    pub(crate) fn patient(settings: &'a Settings) -> Self {
        Self {
            resource_type: Cow::Borrowed("Patient"),
            aggregate_type: "patient",
            system: Cow::Borrowed(&settings.identifier_system),
            parts: &mapping::patient::PARTS,
            settings,
        }
    }

    /// The profile that our records claim.
    pub(crate) fn profile(&self) -> Option<&str> {
        self.settings.profile.as_deref().filter(|_| self.resource_type == "Patient")
    }

    /// The address of a record, relative to the base URL.
    pub(crate) fn url(&self, id: &str) -> String {
        format!("{}/{}", self.resource_type, mapping::percent_encode(id))
    }

    /// The search for what satisfies the query.
    pub(crate) fn search(&self, query: &str) -> String {
        format!("{}?{query}", self.resource_type)
    }

    pub(crate) fn is_whole(&self, element: &str) -> bool {
        self.parts.whole.iter().any(|name| match name.strip_suffix("[x]") {
            Some(stem) => {
                let form = element.strip_prefix(stem);
                form.is_some_and(|form| form.starts_with(|first: char| first.is_ascii_uppercase()))
            }
            None => *name == element,
        })
    }

    /// The rule by which entries of this element are ours.
    pub(crate) fn entries(&self, element: &str) -> Option<IsOurs> {
        self.parts.entries.iter().find(|(name, _)| *name == element).map(|(_, is_ours)| *is_ours)
    }
}
