//! A type of aggregate as a FHIR server keeps it.
//!
//! Owns the value that makes one delivery serve every type: the resource type, the system of our identifier, and which
//! elements are ours. What each type writes is in `mapping`, one file each. It never looks at a record. Read next:
//! `ownership`, which splits a record by it.

use std::borrow::Cow;
use std::fmt;

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
    /// Elements that belong to us as a whole.
    pub(crate) whole: Whole,
    /// Elements of which those entries belong to us that fit.
    pub(crate) entries: &'static [(&'static str, IsOurs)],
    /// Elements that a state without them leaves as others wrote them, and removes where we wrote them.
    pub(crate) kept: &'static [&'static str],
    /// Makes a record say that the application deleted the aggregate. Without it the record is deleted.
    pub(crate) retire: Option<fn(&mut Map<String, Value>)>,
}

/// Names of elements. `onset[x]` stands for every form of that element.
#[derive(Debug)]
pub(crate) enum Whole {
    These(&'static [&'static str]),
    AllBut(&'static [&'static str]),
}

/// Whether an entry of a list is one that our mapping writes.
pub(crate) type IsOurs = fn(&Kind<'_>, &Value) -> bool;

impl fmt::Debug for Parts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Parts").field("whole", &self.whole).finish_non_exhaustive()
    }
}

/// The type of aggregate that is any resource of FHIR.
pub(crate) const PASS_THROUGH: &str = "fhir-resource";

/// The aggregates that have a resource type each.
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

    /// The system of the identifiers of one type. Each type has its own, since ids are unique within a type alone.
    pub(crate) fn system_of(aggregate_type: &str, settings: &'a Settings) -> Cow<'a, str> {
        match aggregate_type {
            "patient" => Cow::Borrowed(&settings.identifier_system),
            _ => Cow::Owned(format!("{}/{aggregate_type}", settings.identifier_system)),
        }
    }

    pub(crate) fn is_patient(&self) -> bool {
        self.aggregate_type == "patient"
    }

    /// The id for a receipt. Of what was passed through it says the resource type too, which nothing else does.
    pub(crate) fn remote_id(&self, id: &str) -> String {
        if self.aggregate_type == PASS_THROUGH { format!("{}/{id}", self.resource_type) } else { id.to_owned() }
    }

    /// The server's own id of a link's record.
    pub(crate) fn id_of<'b>(&self, remote_id: &'b str) -> &'b str {
        match remote_id.split_once('/') {
            Some((_, id)) if self.aggregate_type == PASS_THROUGH => id,
            _ => remote_id,
        }
    }

    /// The profile that our records claim.
    pub(crate) fn profile(&self) -> Option<&str> {
        self.settings.profile.as_deref().filter(|_| self.is_patient())
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

    /// The rule by which entries of this element are ours.
    pub(crate) fn entries(&self, element: &str) -> Option<IsOurs> {
        self.parts.entries.iter().find(|(name, _)| *name == element).map(|(_, is_ours)| *is_ours)
    }

    /// Lets a record say that the aggregate was deleted, where its type has a word for that.
    pub(crate) fn retire(&self, record: &mut Map<String, Value>) {
        if let Some(retire) = self.parts.retire {
            retire(record);
        }
    }
}
