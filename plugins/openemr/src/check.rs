//! Checks an OpenEMR without changing it, and reports what it has and what is missing.

use adapter_sdk::{Failure, Finding, FindingLevel, Report};

use crate::columns::OWN_COLUMNS;
use crate::create::highest;
use crate::failures::misconfigured;
use crate::keys::Keys;
use crate::namesakes::SCANNED_PIDS_MAX;
use crate::options::LISTS;
use crate::records::availability;
use crate::schema::{Charset, Listed, Schema};
use crate::settings::{PublicId, Settings};
use crate::statements::HIGHEST_PID;
use crate::target_db::TargetDb;
use crate::unfit::{IDENTIFYING, Unfit};
use crate::{check_form, detect, permissions};

/// Above this number few pids are left.
const PIDS_PLENTY: i64 = i64::MAX - 1_000_000;

/// Checks and reports.
///
/// # Errors
/// `misconfigured`, with what is missing, when nothing could be delivered; otherwise the database's error.
pub(crate) fn check(db: &impl TargetDb, settings: &Settings) -> Result<Report, Failure> {
    let mut schema = detect::schema(db)?;
    usable(&schema, settings)?;
    let permissions = permissions::try_all(db, &schema, settings)?;
    let keys = Keys::read(db)?;
    schema.pubpid_is_indexed = keys.pubpid_is_indexed();
    let mut findings = vec![columns(&schema), key(&schema)];
    findings.extend(version(&schema));
    findings.extend(keys.findings(schema.has_uuid()));
    findings.extend(pids(db, &schema, settings)?);
    findings.extend(charset(&schema));
    findings.extend(schema.unread.iter().map(|why| finding(FindingLevel::Warning, format!("could not {why}"))));
    findings.extend(lists(&schema));
    findings.extend(check_form::findings(&schema, settings));
    findings.push(permissions);
    schema.unavailable = availability::find(db, &schema, settings)?;
    findings.extend(availability::findings(&schema));
    let summary = schema.version.as_ref().map_or_else(|| "OpenEMR of unknown version".to_owned(), ToString::to_string);
    Ok(Report { summary, findings, state: schema.to_state() })
}

/// Whether anything can be delivered to this OpenEMR with these settings.
///
/// # Errors
/// `misconfigured`, naming what is missing.
pub(crate) fn usable(schema: &Schema, settings: &Settings) -> Result<(), Failure> {
    let missing = schema.missing_minimum();
    if !missing.is_empty() {
        return Err(misconfigured(format!("not a usable OpenEMR database: missing {}", missing.join(", "))));
    }
    let demanding = schema.demanding_columns();
    if !demanding.is_empty() {
        return Err(misconfigured(format!(
            "patient_data has columns that take no NULL, have no default and are not this adapter's: {}; give them a \
             default",
            demanding.join(", ")
        )));
    }
    let written = |name: &str| name == "pubpid" || OWN_COLUMNS.iter().any(|own| own.name.eq_ignore_ascii_case(name));
    if let Some(name) = settings.unfit.keys().find(|name| !written(name)) {
        return Err(misconfigured(format!(
            "the setting `unfit` names `{name}`, which is no column that this adapter writes"
        )));
    }
    let left_out = |name: &&&str| settings.unfit.get(**name) == Some(&Unfit::LeaveEmpty);
    if let Some(name) = IDENTIFYING.iter().find(left_out) {
        return Err(misconfigured(format!(
            "the setting `unfit` leaves `{name}` empty, without which a chart has no owner"
        )));
    }
    if !schema.has_uuid() && settings.pubpid == PublicId::Pid {
        return Err(misconfigured(
            "this OpenEMR has no patient_data.uuid, so charts can only be found by `pubpid`: remove the setting `pubpid \
             = \"pid\"`",
        ));
    }
    Ok(())
}

fn finding(level: FindingLevel, message: impl Into<String>) -> Finding {
    Finding { level, message: message.into() }
}

fn columns(schema: &Schema) -> Finding {
    let absent = schema.absent_columns();
    if absent.is_empty() {
        return finding(FindingLevel::Ok, format!("patient_data has all {} columns", schema.own_columns().len()));
    }
    let joined = if absent.contains(&"street_line_2") { "; the second street line is joined to `street`" } else { "" };
    finding(FindingLevel::Warning, format!("patient_data has no column for: {}{joined}", absent.join(", ")))
}

fn key(schema: &Schema) -> Finding {
    if schema.has_uuid() {
        finding(FindingLevel::Ok, "charts are found by uuid")
    } else {
        finding(
            FindingLevel::Warning,
            "no patient_data.uuid (OpenEMR 5.x): charts are found by `pubpid`, which users can edit; do not let them",
        )
    }
}

fn version(schema: &Schema) -> Option<Finding> {
    match &schema.version {
        Some(version) if (5..=8).contains(&version.major) => None,
        Some(version) => Some(finding(FindingLevel::Warning, format!("{version} was never tried with this adapter"))),
        None => Some(finding(FindingLevel::Warning, "the table `version` could not be read")),
    }
}

fn charset(schema: &Schema) -> Vec<Finding> {
    let own = schema.own_columns();
    let narrow = |charset: Charset| -> Vec<&str> {
        own.iter()
            .map(|column| column.name)
            .filter(|name| schema.column(name).is_some_and(|it| it.charset == charset))
            .collect()
    };
    let cases = [
        (Charset::Utf8Mb3, "are `utf8` of three bytes: emoji and rare Hanja are refused, convert them to utf8mb4"),
        (Charset::Latin1, "are `latin1`: Hangul and most scripts are refused, convert them to utf8mb4"),
        (Charset::Ascii, "are `ascii`: anything else is refused, convert them to utf8mb4"),
        (Charset::Other, "have a character set that this adapter does not know: the database decides what fits"),
    ];
    cases
        .into_iter()
        .filter_map(|(charset, what)| {
            let names = narrow(charset);
            (!names.is_empty()).then(|| finding(FindingLevel::Warning, format!("columns {what}: {}", names.join(", "))))
        })
        .collect()
}

fn lists(schema: &Schema) -> Vec<Finding> {
    let mut findings = Vec::new();
    let coded = LISTS.into_iter().filter(|list| !["country", "state"].contains(list));
    let unknown: Vec<&str> = coded.filter(|list| !schema.options.contains_key(*list)).collect();
    if !unknown.is_empty() {
        findings.push(finding(
            FindingLevel::Warning,
            format!("lists that are empty or could not be read, whose codes pass unchecked: {}", unknown.join(", ")),
        ));
    }
    if schema.options.contains_key("sex") && schema.listed("sex", "UNK") == Listed::Not {
        findings.push(finding(
            FindingLevel::Warning,
            "list `sex` has no option `UNK`: for the genders other and unknown the field stays empty",
        ));
    }
    findings
}

/// Findings about the remaining pids, and about searching for public ids.
fn pids(db: &impl TargetDb, schema: &Schema, settings: &Settings) -> Result<Vec<Finding>, Failure> {
    let found = db.query(HIGHEST_PID, &[], 1).map_err(|error| error.during("read patient_data"))?;
    let highest = highest(found.single());
    let mut findings = Vec::new();
    if highest > PIDS_PLENTY {
        findings.push(finding(
            FindingLevel::Problem,
            format!(
                "the highest pid is {highest}, and no new chart can be made beyond {}: correct the chart with that pid",
                i64::MAX
            ),
        ));
    } else if highest > i64::from(i32::MAX) {
        findings.push(finding(
            FindingLevel::Warning,
            format!("the highest pid is {highest}: several tables of OpenEMR hold pids up to {} only", i32::MAX),
        ));
    }
    let is_searched = schema.pubpid_is_indexed || highest <= SCANNED_PIDS_MAX || settings.pubpid == PublicId::Pid;
    if schema.has_uuid() && !is_searched {
        findings.push(finding(
            FindingLevel::Warning,
            "`pubpid` has no index, so it is not looked for charts that others made under a new patient's id: CREATE \
             INDEX pubpid ON patient_data (pubpid)",
        ));
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lists::tests::ids;
    use crate::schema::tests::{full, varchar};
    use crate::schema::{Column, Version};

    #[test]
    fn an_unusable_schema_is_misconfigured_with_the_reason() {
        let message = |schema: &Schema, settings: &Settings| usable(schema, settings).unwrap_err().message;
        let (mut schema, settings) = (full(), Settings::default());
        assert!(usable(&schema, &settings).is_ok());
        schema.patient.insert("custom".into(), Column { has_default: false, ..varchar(9) });
        assert!(message(&schema, &settings).contains("custom"));
        schema.patient.remove("custom");
        schema.patient.remove("uuid");
        let by_pid = Settings { pubpid: PublicId::Pid, ..settings.clone() };
        assert!(usable(&schema, &settings).is_ok());
        assert!(message(&schema, &by_pid).contains("pubpid"));
        schema.patient.remove("lname");
        assert!(message(&schema, &settings).ends_with("missing patient_data.lname"));
    }

    #[test]
    fn missing_columns_of_an_older_openemr_are_reported() {
        let mut schema = full();
        assert!(matches!(columns(&schema).level, FindingLevel::Ok));
        schema.patient.remove("suffix");
        schema.patient.remove("street_line_2");
        let found = columns(&schema);
        assert!(matches!(found.level, FindingLevel::Warning));
        assert_eq!(
            found.message,
            "patient_data has no column for: suffix, street_line_2; the second street line is joined to `street`"
        );
    }

    #[test]
    fn a_narrow_character_set_causes_a_warning() {
        let mut schema = full();
        assert!(charset(&schema).is_empty());
        schema.patient.insert("lname".into(), Column { charset: Charset::Latin1, ..varchar(255) });
        assert!(charset(&schema)[0].message.ends_with("convert them to utf8mb4: lname"));
    }

    #[test]
    fn a_missing_list_causes_a_warning() {
        let mut schema = full();
        assert!(lists(&schema)[0].message.ends_with("sex, marital, language, race, ethnicity"));
        for list in LISTS {
            schema.options.insert(list.into(), ids(&["Male"]));
        }
        assert!(lists(&schema)[0].message.contains("UNK"));
        schema.options.insert("sex".into(), ids(&["UNK"]));
        assert!(lists(&schema).is_empty());
    }

    #[test]
    fn a_newer_openemr_than_tested_causes_a_warning() {
        let mut schema = full();
        assert!(version(&schema).unwrap().message.contains("could not be read"));
        let known = Version { major: 8, minor: 2, patch: 0, real_patch: 0, tag: String::new(), database: 0 };
        schema.version = Some(known.clone());
        assert!(version(&schema).is_none());
        schema.version = Some(Version { major: 9, ..known });
        assert!(version(&schema).unwrap().message.starts_with("OpenEMR 9.2.0"));
    }
}
