//! A type of aggregate at a FHIR server.
//!
//! Defines the differences between types, so that one delivery serves all of them: the resource type, the system of our
//! identifier, and the elements that are ours. `mapping` has one file per type, which writes them. It never reads a
//! record. Read next: `ownership`, which splits a record by it.

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value};

use crate::mapping;
use crate::settings::Settings;

/// A type of aggregate, with its resource type.
#[derive(Clone, Debug)]
pub(crate) struct Kind<'a> {
    /// FHIR's name: `Patient`.
    pub(crate) resource_type: Cow<'a, str>,
    /// The name in the outbox: `patient`.
    pub(crate) aggregate_type: &'static str,
    /// The system of the identifier by which our records are found.
    pub(crate) system: Cow<'a, str>,
    pub(crate) parts: &'static Parts,
    pub(crate) settings: &'a Settings,
}

/// The elements of a resource type that are ours.
pub(crate) struct Parts {
    /// Elements that are entirely ours.
    pub(crate) whole: Whole,
    /// Elements with entries of several authors. Entries that match are ours.
    pub(crate) entries: &'static [(&'static str, IsOurs)],
    /// Elements that are removed only if we wrote them, when a new state has no value for them.
    pub(crate) kept: &'static [&'static str],
    /// Marks a record as deleted by the application. Without such a mark the record is deleted.
    pub(crate) retire: Option<fn(&mut Map<String, Value>)>,
}

/// Names of elements. `onset[x]` stands for every form of that element.
#[derive(Debug)]
pub(crate) enum Whole {
    These(&'static [&'static str]),
    AllBut(&'static [&'static str]),
}

/// Whether an entry of a list comes from our mapping.
pub(crate) type IsOurs = fn(&Kind<'_>, &Value) -> bool;

impl fmt::Debug for Parts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Parts").field("whole", &self.whole).finish_non_exhaustive()
    }
}

/// The aggregate type for any other FHIR resource.
pub(crate) const PASS_THROUGH: &str = "fhir-resource";

/// The aggregate types with a resource type of their own.
pub(crate) const TYPED: [(&str, &str, &Parts); 7] = [
    ("patient", "Patient", &mapping::patient::PARTS),
    ("encounter", "Encounter", &mapping::encounter::PARTS),
    ("condition", "Condition", &mapping::condition::PARTS),
    ("allergy", "AllergyIntolerance", &mapping::allergy::PARTS),
    ("medication", "MedicationStatement", &mapping::medication::PARTS),
    ("observation", "Observation", &mapping::observation::PARTS),
    ("appointment", "Appointment", &mapping::appointment::PARTS),
];

impl<'a> Kind<'a> {
    /// The kind of an aggregate that has a resource type of its own.
    pub(crate) fn of(aggregate_type: &str, settings: &'a Settings) -> Option<Self> {
        let (aggregate_type, resource_type, parts) =
            TYPED.into_iter().find(|(known, _, _)| *known == aggregate_type)?;
        let (resource_type, system) = (Cow::Borrowed(resource_type), Self::system_of(aggregate_type, settings));
        Some(Self { resource_type, aggregate_type, system, parts, settings })
    }

    /// The kind of a resource that is passed through.
    pub(crate) fn passed_through(resource_type: String, settings: &'a Settings) -> Self {
        Self {
            resource_type: Cow::Owned(resource_type),
            aggregate_type: PASS_THROUGH,
            system: Self::system_of(PASS_THROUGH, settings),
            parts: &mapping::pass_through::PARTS,
            settings,
        }
    }

    /// The identifier system of one type. Each type has its own, because ids are unique within a type only.
    pub(crate) fn system_of(aggregate_type: &str, settings: &'a Settings) -> Cow<'a, str> {
        match aggregate_type {
            "patient" => Cow::Borrowed(&settings.identifier_system),
            _ => Cow::Owned(format!("{}/{aggregate_type}", settings.identifier_system)),
        }
    }

    pub(crate) fn is_patient(&self) -> bool {
        self.aggregate_type == "patient"
    }

    /// The remote id for a receipt. For a resource that is passed through it includes the resource type, which nothing
    /// else records.
    pub(crate) fn remote_id(&self, id: &str) -> String {
        if self.aggregate_type == PASS_THROUGH { format!("{}/{id}", self.resource_type) } else { id.to_owned() }
    }

    /// The server's id in a link.
    pub(crate) fn id_of<'b>(&self, remote_id: &'b str) -> &'b str {
        match remote_id.split_once('/') {
            Some((_, id)) if self.aggregate_type == PASS_THROUGH => id,
            _ => remote_id,
        }
    }

    /// The profile in `meta.profile` of our records.
    pub(crate) fn profile(&self) -> Option<&str> {
        self.settings.profile.as_deref().filter(|_| self.is_patient())
    }

    /// The URL of a record, relative to the base URL.
    pub(crate) fn url(&self, id: &str) -> String {
        format!("{}/{}", self.resource_type, mapping::percent_encode(id))
    }

    /// The URL of a search with this query.
    pub(crate) fn search(&self, query: &str) -> String {
        format!("{}?{query}", self.resource_type)
    }

    pub(crate) fn is_whole(&self, element: &str) -> bool {
        let is_named = |names: &[&str]| {
            names.iter().any(|name| match name.strip_suffix("[x]") {
                Some(stem) => {
                    let form = element.strip_prefix(stem);
                    form.is_some_and(|form| form.starts_with(|first: char| first.is_ascii_uppercase()))
                }
                None => *name == element,
            })
        };
        match self.parts.whole {
            Whole::These(names) => is_named(names),
            Whole::AllBut(names) => !is_named(names),
        }
    }

    /// The rule that decides which entries of this element are ours.
    pub(crate) fn entries(&self, element: &str) -> Option<IsOurs> {
        self.parts.entries.iter().find(|(name, _)| *name == element).map(|(_, is_ours)| *is_ours)
    }

    /// Marks the record as deleted, if its type has a mark for that.
    pub(crate) fn retire(&self, record: &mut Map<String, Value>) {
        if let Some(retire) = self.parts.retire {
            retire(record);
        }
    }
}
