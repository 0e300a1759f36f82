//! The SQL for rows of clinical records, as text. Pure: a statement depends only on the shape and on counts.
//!
//! Every value is a parameter. The text contains only names of `kinds.rs` and integers of the settings. As in the
//! statements for charts, no insert overwrites a row, and nothing is deleted.

use adapter_sdk::database::{Dialect, placeholders, repeated};

use crate::columns::{Content, OwnColumn};
use crate::records::kinds::Kind;
use crate::records::shape::Shape;
use crate::settings::Settings;

/// Takes several encounter numbers; OpenEMR takes one in the same way.
pub(crate) const TAKE_NUMBERS: &str = "UPDATE `sequences` SET `id` = `id` + ?";

/// The last number taken.
pub(crate) const LAST_NUMBER: &str = "SELECT `id` FROM `sequences`";

/// The key of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Uuid,
    /// In the charts of this number of patients; in the whole table when it is 0.
    Marker {
        pids: usize,
    },
    Id,
    /// By the id that OpenEMR's users see.
    RemoteId,
}

/// Builds all statements for one kind of record.
pub(crate) struct RecordStatements<'a> {
    pub(crate) dialect: Dialect,
    pub(crate) shape: &'a Shape<'a>,
    pub(crate) settings: &'a Settings,
}

impl RecordStatements<'_> {
    /// Rows with their id, the id that users see, uuid, marker and the id of their row in `forms`, then the owned
    /// columns. Parameters: the pids of a search by marker, then the keys.
    pub(crate) fn find(&self, by: By, count: usize, locked: bool) -> String {
        let layout = self.shape.layout;
        let mut names = vec![format!("t.`{}`", layout.id), format!("t.`{}`", layout.remote_id)];
        for (name, is_there) in [("uuid", self.shape.has_uuid), (layout.marker, self.shape.has_marker())] {
            names.push(if is_there { format!("t.`{name}`") } else { "NULL".to_owned() });
        }
        names.push(if layout.form.is_some() { "f.`id`" } else { "NULL" }.to_owned());
        names.extend(self.shape.table_columns().iter().map(|column| format!("t.`{}`", column.name)));
        names.extend(self.shape.form_columns().iter().map(|column| format!("f.`{}`", column.name)));
        let join = layout.form.as_ref().map_or(String::new(), |form| {
            format!(" LEFT JOIN `forms` AS f ON f.`form_id` = t.`{}` AND f.`formdir` = '{}'", layout.id, form.directory)
        });
        let list = placeholders(count);
        let mut filter = match by {
            By::Uuid => format!("t.`uuid` IN ({list})"),
            By::Marker { pids: 0 } => format!("t.`{}` IN ({list})", layout.marker),
            By::Marker { pids } => {
                format!("t.`{}` IN ({}) AND t.`{}` IN ({list})", layout.pid, placeholders(pids), layout.marker)
            }
            By::Id => format!("t.`{}` IN ({list})", layout.id),
            By::RemoteId => format!("t.`{}` IN ({list})", layout.remote_id),
        };
        if let Some(list_type) = layout.list_type {
            filter = format!("{filter} AND t.`type` = '{list_type}'");
        }
        let lock = if locked && self.dialect == Dialect::Mysql { " FOR UPDATE" } else { "" };
        format!("SELECT {} FROM `{}` AS t{join} WHERE {filter}{lock}", names.join(", "), layout.table)
    }

    /// The columns of a new row, each with a `?` or the value that OpenEMR itself would write.
    fn insertion(&self) -> Vec<(&'static str, String)> {
        let shape = self.shape;
        let key = if shape.has_uuid { "uuid" } else { shape.layout.marker };
        let parameter = |name| (name, "?".to_owned());
        let mut row = vec![parameter(key)];
        if shape.kind == Kind::Encounter {
            row.push(parameter("encounter"));
        }
        row.extend(shape.table_columns().iter().map(|column| parameter(column.name)));
        row.extend(self.constants().into_iter().filter(|(name, _)| shape.has(name)));
        row
    }

    /// The other columns that OpenEMR fills. Users may change them, so they are written only once.
    fn constants(&self) -> Vec<(&'static str, String)> {
        let number = |value: i64| value.to_string();
        let by_user = || vec![("user", "?".to_owned()), ("groupname", "'Default'".to_owned())];
        let Settings { provider_id, facility_id, .. } = *self.settings;
        match self.shape.kind {
            Kind::Encounter => vec![
                ("sensitivity", "'normal'".to_owned()),
                ("pc_catid", number(self.settings.encounter_category)),
                ("provider_id", number(provider_id)),
                ("facility_id", number(facility_id)),
                ("billing_facility", number(facility_id)),
            ],
            Kind::VitalSign => [by_user(), vec![("authorized", number(1)), ("activity", number(1))]].concat(),
            Kind::Condition | Kind::Allergy | Kind::Medication => {
                let list_type = self.shape.layout.list_type.unwrap_or_default();
                let written = vec![("date", "CURRENT_TIMESTAMP".to_owned()), ("type", format!("'{list_type}'"))];
                [by_user(), written].concat()
            }
            Kind::Appointment => vec![
                ("pc_catid", number(self.settings.appointment_category)),
                ("pc_multiple", number(0)),
                ("pc_aid", if provider_id == 0 { "NULL".to_owned() } else { format!("'{provider_id}'") }),
                ("pc_time", "CURRENT_TIMESTAMP".to_owned()),
                ("pc_informant", format!("'{}'", self.settings.user_id.unwrap_or(1))),
                ("pc_eventstatus", number(1)),
                ("pc_sharing", number(1)),
                ("pc_facility", number(facility_id)),
                ("pc_billing_location", number(facility_id)),
            ],
        }
    }

    /// Whether an inserted row has a parameter for the user after those of the owned columns.
    pub(crate) fn names_user(&self) -> bool {
        self.insertion().iter().any(|(name, value)| *name == "user" && value == "?")
    }

    /// The columns that an insert fills.
    pub(crate) fn inserted(&self) -> Vec<&'static str> {
        self.insertion().into_iter().map(|(name, _)| name).collect()
    }

    /// Parameters of one row of [`Self::insert`]: key, encounter number, owned columns, user.
    pub(crate) fn insert_parameters(&self) -> usize {
        self.insertion().iter().filter(|(_, value)| value == "?").count()
    }

    pub(crate) fn insert(&self, count: usize) -> String {
        let (names, values): (Vec<&str>, Vec<String>) = self.insertion().into_iter().unzip();
        let row = format!("({})", values.join(", "));
        let table = self.shape.layout.table;
        format!("INSERT INTO `{table}` (`{}`) VALUES {}", names.join("`, `"), repeated(&row, ", ", count))
    }

    /// Parameters of one row of [`Self::insert_forms`]: `form_id`, owned columns, encounter and date if they are not
    /// among these, user.
    pub(crate) fn insert_form_parameters(&self) -> usize {
        self.form_insertion().iter().filter(|(_, value)| value == "?").count()
    }

    pub(crate) fn insert_forms(&self, count: usize) -> String {
        let (names, values): (Vec<&str>, Vec<String>) = self.form_insertion().into_iter().unzip();
        let row = format!("({})", values.join(", "));
        format!("INSERT INTO `forms` (`{}`) VALUES {}", names.join("`, `"), repeated(&row, ", ", count))
    }

    fn form_insertion(&self) -> Vec<(&'static str, String)> {
        let Some(form) = &self.shape.layout.form else { return Vec::new() };
        let parameter = |name| (name, "?".to_owned());
        let mut row = vec![parameter("form_id")];
        row.extend(self.shape.form_columns().iter().map(|column| parameter(column.name)));
        // The row of an encounter has the encounter's date, any other row the date of its creation.
        if self.shape.kind == Kind::Encounter {
            row.extend([parameter("encounter"), parameter("date")]);
        } else {
            row.push(("date", "CURRENT_TIMESTAMP".to_owned()));
        }
        row.extend([
            parameter("user"),
            ("form_name", format!("'{}'", form.name)),
            ("formdir", format!("'{}'", form.directory)),
            ("groupname", "'Default'".to_owned()),
            ("authorized", "1".to_owned()),
        ]);
        row
    }

    /// Updates the owned columns of rows of the kind's table, found by their id. Parameters of a row: the id, then the
    /// columns.
    pub(crate) fn update(&self, count: usize) -> String {
        let layout = self.shape.layout;
        self.update_of(layout.table, layout.id, self.shape.table_columns(), 0, count)
    }

    /// As `update`, for their rows in `forms`.
    pub(crate) fn update_forms(&self, count: usize) -> String {
        self.update_of("forms", "form_id", self.shape.form_columns(), self.shape.of_table, count)
    }

    fn update_of(&self, table: &str, key: &str, columns: &[OwnColumn], first: usize, count: usize) -> String {
        let set = |prefix: &str, source: &dyn Fn(usize, &OwnColumn) -> String| {
            let assigned = columns.iter().enumerate();
            let assigned = assigned.map(|(at, column)| format!("{prefix}`{}` = {}", column.name, source(at, column)));
            assigned.collect::<Vec<_>>().join(", ")
        };
        let of_kind = |prefix: &str| match &self.shape.layout.form {
            Some(form) if key == "form_id" => format!(" AND {prefix}.`formdir` = '{}'", form.directory),
            _ => String::new(),
        };
        if self.dialect == Dialect::Sqlite {
            return format!(
                "UPDATE `{table}` SET {} FROM (VALUES {}) AS v WHERE `{table}`.`{key}` = v.column1{}",
                set("", &|at, _| format!("v.column{}", at + 2)),
                repeated(&format!("({})", placeholders(1 + columns.len())), ", ", count),
                of_kind(&format!("`{table}`"))
            );
        }
        format!(
            "UPDATE `{table}` AS p INNER JOIN ({}) AS v ON p.`{key}` = v.row_key{} SET {}",
            self.rows_for_mysql(columns, first, count),
            of_kind("p"),
            set("p.", &|_, column| format!("v.`{}`", column.name))
        )
    }

    /// The rows of an update as a union whose first row names and types the columns; see `statements.rs`.
    fn rows_for_mysql(&self, columns: &[OwnColumn], first: usize, count: usize) -> String {
        let mut row = vec!["SELECT CAST(? AS SIGNED) AS row_key".to_owned()];
        row.extend(columns.iter().enumerate().map(|(at, column)| {
            let characters = match column.content {
                Content::Text | Content::Options => self.shape.own(first + at).and_then(|found| found.characters_max),
                Content::Date => Some(10),
                Content::Datetime => Some(19),
                Content::Time => Some(8),
                Content::Integer => Some(20),
                Content::Measure(_) => Some(32),
            };
            // A text without a small limit gets the type of its maximum length.
            match characters.filter(|characters| *characters <= 1_000) {
                Some(characters) => format!("CAST(? AS CHAR({characters})) AS `{}`", column.name),
                None => format!("CAST(? AS CHAR) AS `{}`", column.name),
            }
        }));
        let another = format!(" UNION ALL SELECT CAST(? AS SIGNED){}", repeated(", ?", "", columns.len()));
        row.join(", ") + &repeated(&another, "", count - 1)
    }

    /// Selects which of these uuids are registered.
    pub(crate) fn registered(count: usize) -> String {
        crate::statements::Statements::registered(count)
    }

    /// Registers uuids; one parameter each.
    pub(crate) fn register(&self, count: usize) -> String {
        let layout = self.shape.layout;
        crate::statements::register(&self.shape.schema().registry, layout.table, layout.id, count)
    }

    /// Selects the patients whose list of this kind was begun.
    pub(crate) fn touched(&self, count: usize) -> String {
        let list_type = self.shape.layout.list_type.unwrap_or_default();
        format!("SELECT `pid` FROM `lists_touch` WHERE `pid` IN ({}) AND `type` = '{list_type}'", placeholders(count))
    }

    /// Begins the lists of patients; one parameter each.
    pub(crate) fn touch(&self, count: usize) -> String {
        let row = format!("(?, '{}', CURRENT_TIMESTAMP)", self.shape.layout.list_type.unwrap_or_default());
        format!("INSERT INTO `lists_touch` (`pid`, `type`, `date`) VALUES {}", repeated(&row, ", ", count))
    }

    /// The encounters that are linked to these rows of `lists`. Parameters: pids, then ids.
    pub(crate) fn linked(pids: usize, ids: usize) -> String {
        let (pids, ids) = (placeholders(pids), placeholders(ids));
        format!(
            "SELECT `pid`, `list_id`, `encounter` FROM `issue_encounter` WHERE `pid` IN ({pids}) AND `list_id` IN ({ids})"
        )
    }

    /// Links rows of `lists` to encounters; parameters of each: pid, id, encounter.
    pub(crate) fn link(count: usize) -> String {
        let rows = repeated("(?, ?, ?, 0)", ", ", count);
        format!("INSERT INTO `issue_encounter` (`pid`, `list_id`, `encounter`, `resolved`) VALUES {rows}")
    }
}
