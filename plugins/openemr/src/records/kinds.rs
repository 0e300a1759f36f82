//! The rows of each clinical type in OpenEMR: table, keys, and the columns that this adapter owns.
//!
//! All other columns belong to OpenEMR's users: they are filled on creation, as OpenEMR does, and never written again.
//! Read next: `shape.rs` for the columns of a given OpenEMR.

use crate::columns::{Content, OwnColumn};

/// The tables for these types, in addition to `patient_data` and `uuid_registry`.
pub(crate) const TABLES: [&str; 8] = [
    "form_encounter",
    "form_vitals",
    "forms",
    "issue_encounter",
    "lists",
    "lists_touch",
    "openemr_postcalendar_events",
    "sequences",
];

/// The list of options for `lists.reaction`.
pub(crate) const REACTIONS: &str = "reaction";

/// The lists of OpenEMR that these types use.
pub(crate) const LISTS: [&str; 1] = [REACTIONS];

/// A kind of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Encounter,
    Condition,
    Allergy,
    Medication,
    VitalSign,
    Appointment,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] =
        [Self::Encounter, Self::Condition, Self::Allergy, Self::Medication, Self::VitalSign, Self::Appointment];

    /// The kind of an aggregate type; `None` for one that has no rows in OpenEMR.
    pub(crate) fn of(aggregate_type: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.aggregate_type() == aggregate_type)
    }

    pub(crate) fn aggregate_type(self) -> &'static str {
        match self {
            Self::Encounter => "encounter",
            Self::Condition => "condition",
            Self::Allergy => "allergy",
            Self::Medication => "medication",
            Self::VitalSign => "observation",
            Self::Appointment => "appointment",
        }
    }

    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Encounter => "encounters",
            Self::Condition => "conditions",
            Self::Allergy => "allergies",
            Self::Medication => "medications",
            Self::VitalSign => "observations",
            Self::Appointment => "appointments",
        }
    }

    pub(crate) fn layout(self) -> &'static Layout {
        match self {
            Self::Encounter => &ENCOUNTER,
            Self::Condition => &CONDITION,
            Self::Allergy => &ALLERGY,
            Self::Medication => &MEDICATION,
            Self::VitalSign => &VITAL_SIGN,
            Self::Appointment => &APPOINTMENT,
        }
    }
}

/// The layout of a kind's rows.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) table: &'static str,
    /// The primary key, which the database assigns.
    pub(crate) id: &'static str,
    /// The column by which OpenEMR's users and other tables identify the record.
    pub(crate) remote_id: &'static str,
    pub(crate) pid: &'static str,
    /// A text column that OpenEMR's own screens do not change. It holds our key if there is no uuid.
    pub(crate) marker: &'static str,
    pub(crate) columns: &'static [OwnColumn],
    /// The row of `forms`, without which OpenEMR does not show the record.
    pub(crate) form: Option<FormLayout>,
    /// The value of `lists.type`, for the kinds that share that table.
    pub(crate) list_type: Option<&'static str>,
    /// The owned column and the value by which OpenEMR hides a record without deleting it.
    pub(crate) deletion: (&'static str, &'static str),
}

/// The row of `forms` that belongs to a record.
#[derive(Debug)]
pub(crate) struct FormLayout {
    pub(crate) directory: &'static str,
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [OwnColumn],
}

const fn needed(name: &'static str, content: Content) -> OwnColumn {
    OwnColumn { name, content, required: true }
}

const fn optional(name: &'static str, content: Content) -> OwnColumn {
    OwnColumn { name, content, required: false }
}

/// A measured value. The number of decimals is read from the actual column.
const fn measured(name: &'static str) -> OwnColumn {
    optional(name, Content::Measure(2))
}

const ENCOUNTER: Layout = Layout {
    table: "form_encounter",
    id: "id",
    remote_id: "encounter",
    pid: "pid",
    marker: "external_id",
    columns: &[
        needed("pid", Content::Integer),
        needed("date", Content::Datetime),
        optional("date_end", Content::Datetime),
        needed("reason", Content::Text),
        optional("class_code", Content::Text),
    ],
    form: Some(FormLayout {
        directory: "newpatient",
        name: "New Patient Encounter",
        columns: &[needed("pid", Content::Integer), needed("deleted", Content::Integer)],
    }),
    list_type: None,
    deletion: ("deleted", "1"),
};

const VITAL_SIGN: Layout = Layout {
    table: "form_vitals",
    id: "id",
    remote_id: "id",
    pid: "pid",
    marker: "external_id",
    columns: &[
        needed("pid", Content::Integer),
        needed("date", Content::Datetime),
        optional("bps", Content::Text),
        optional("bpd", Content::Text),
        measured("weight"),
        measured("height"),
        measured("temperature"),
        measured("pulse"),
        measured("respiration"),
        measured("BMI"),
        measured("waist_circ"),
        measured("head_circ"),
        measured("oxygen_saturation"),
        measured("oxygen_flow_rate"),
        measured("inhaled_oxygen_concentration"),
        optional("note", Content::Text),
    ],
    form: Some(FormLayout {
        directory: "vitals",
        name: "Vitals",
        columns: &[
            needed("pid", Content::Integer),
            needed("encounter", Content::Integer),
            needed("deleted", Content::Integer),
        ],
    }),
    list_type: None,
    deletion: ("deleted", "1"),
};

const CONDITION: Layout = Layout {
    columns: &[
        needed("pid", Content::Integer),
        needed("title", Content::Text),
        needed("diagnosis", Content::Text),
        needed("begdate", Content::Datetime),
        needed("enddate", Content::Datetime),
        needed("outcome", Content::Integer),
        optional("verification", Content::Text),
        needed("comments", Content::Text),
        needed("activity", Content::Integer),
    ],
    list_type: Some("medical_problem"),
    ..MEDICATION
};

const ALLERGY: Layout = Layout {
    columns: &[
        needed("pid", Content::Integer),
        needed("title", Content::Text),
        needed("diagnosis", Content::Text),
        needed("begdate", Content::Datetime),
        needed("enddate", Content::Datetime),
        needed("outcome", Content::Integer),
        needed("reaction", Content::Text),
        needed("severity_al", Content::Text),
        optional("verification", Content::Text),
        needed("comments", Content::Text),
        needed("activity", Content::Integer),
    ],
    list_type: Some("allergy"),
    ..MEDICATION
};

const MEDICATION: Layout = Layout {
    table: "lists",
    id: "id",
    remote_id: "id",
    pid: "pid",
    marker: "external_id",
    columns: &[
        needed("pid", Content::Integer),
        needed("title", Content::Text),
        needed("diagnosis", Content::Text),
        needed("begdate", Content::Datetime),
        needed("enddate", Content::Datetime),
        needed("comments", Content::Text),
        needed("activity", Content::Integer),
    ],
    form: None,
    list_type: Some("medication"),
    deletion: ("activity", "0"),
};

const APPOINTMENT: Layout = Layout {
    table: "openemr_postcalendar_events",
    id: "pc_eid",
    remote_id: "pc_eid",
    pid: "pc_pid",
    marker: "pc_website",
    columns: &[
        needed("pc_pid", Content::Text),
        needed("pc_title", Content::Text),
        needed("pc_hometext", Content::Text),
        needed("pc_eventDate", Content::Date),
        needed("pc_startTime", Content::Time),
        needed("pc_endTime", Content::Time),
        needed("pc_duration", Content::Integer),
        needed("pc_apptstatus", Content::Text),
    ],
    form: None,
    list_type: None,
    deletion: ("pc_apptstatus", "x"),
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_type_and_owns_its_hiding_column() {
        for kind in Kind::ALL {
            assert_eq!(Kind::of(kind.aggregate_type()), Some(kind));
            let layout = kind.layout();
            let own = layout.columns.iter().chain(layout.form.iter().flat_map(|form| form.columns));
            assert!(own.clone().any(|column| column.name == layout.deletion.0), "{kind:?}");
            assert!(own.clone().any(|column| column.name == layout.pid), "{kind:?}");
            assert!(TABLES.contains(&layout.table));
        }
        assert_eq!(Kind::of("fhir-resource"), None);
        assert_eq!(Kind::of("patient"), None);
    }
}
