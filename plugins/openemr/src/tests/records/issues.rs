//! `lists`: conditions, allergies and medications.

use super::*;

pub(super) fn condition() -> Case {
    let code = json!({"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "E11.9", "display": "Diabetes"});
    let active = json!({
        "clinical_status": "active", "verification_status": "provisional", "code": code, "onset": "2019-03",
        "severity": "moderate", "note": "Found by chance",
    });
    let resolved = json!({
        "clinical_status": "resolved", "verification_status": "confirmed", "code": code, "onset": "2019-03-04",
        "abatement": "2024-05-01",
    });
    Case {
        create: within("12", record("condition", "C-1", &active)),
        update: within("12", record("condition", "C-1", &resolved)),
        read: "SELECT type, title, diagnosis, begdate, enddate, outcome, verification, replace(comments, char(10), '/'), activity, \
               pid FROM lists",
        created: "medical_problem|Diabetes|ICD10:E11.9|2019-03-01 00:00:00|NULL|0|provisional|Found by chance/Severity: moderate|1|7",
        updated: "medical_problem|Diabetes|ICD10:E11.9|2019-03-04 00:00:00|2024-05-01 00:00:00|1|confirmed|NULL|1|7",
        hidden: "activity = 0",
        table: "lists",
        edit: "UPDATE lists SET title = 'edited'",
    }
}

fn allergy_of(fields: &Value) -> Change {
    let payload = json!({
        "clinical_status": "active", "verification_status": "confirmed", "code": {"display": "Penicillin"},
        "reaction": [{"manifestation": {"display": "Hives"}, "severity": "mild"}],
    });
    record("allergy", "A-1", &with(payload, fields))
}

pub(super) fn allergy() -> Case {
    let more = json!({
        "criticality": "high", "category": "medication", "onset": "2010",
        "reaction": [
            {"manifestation": {"display": "hives"}, "severity": "severe"},
            {"manifestation": {"display": "Swollen tongue"}, "severity": "moderate"},
        ],
    });
    Case {
        create: allergy_of(&json!({})),
        update: allergy_of(&more),
        read: "SELECT type, title, begdate, outcome, reaction, severity_al, verification, replace(comments, char(10), '/') FROM lists",
        created: "allergy|Penicillin|NULL|0|hives|mild|confirmed|NULL",
        updated: "allergy|Penicillin|2010-01-01 00:00:00|0|hives|severe|confirmed|\
                  Category: medication/Criticality: high/Reaction: Swollen tongue (moderate)",
        hidden: "activity = 0",
        table: "lists",
        edit: "UPDATE lists SET severity_al = 'fatal'",
    }
}

pub(super) fn medication() -> Case {
    let concept =
        json!({"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "860975", "display": "Metformin"});
    let active = json!({
        "status": "active", "medication": concept, "effective": {"start": "2020-02-03T10:00:00+09:00"},
        "dosage": "500 mg twice a day", "route": {"display": "Oral"},
    });
    let stopped = json!({
        "status": "stopped", "medication": concept, "effective": {"start": "2020-02-03", "end": "2021-04-05"},
    });
    Case {
        create: record("medication", "M-1", &active),
        update: record("medication", "M-1", &stopped),
        read: "SELECT type, title, diagnosis, begdate, enddate, replace(comments, char(10), '/'), activity FROM lists",
        created: "medication|Metformin|RXCUI:860975|2020-02-03 00:00:00|NULL|Dosage: 500 mg twice a day/Route: Oral|1",
        updated: "medication|Metformin|RXCUI:860975|2020-02-03 00:00:00|2021-04-05 00:00:00|NULL|1",
        hidden: "activity = 0",
        table: "lists",
        edit: "UPDATE lists SET enddate = '2022-01-01 00:00:00'",
    }
}

#[test]
fn an_issue_is_linked_to_its_encounter_and_its_list_is_created_once() {
    let database = Database::open();
    let context = context(&database);
    let case = condition();
    let first = one(&database, &context, case.create.clone());
    let again = linked(case.update, &first);
    one(&database, &context, again.clone());
    let link = "SELECT pid, list_id = (SELECT id FROM lists), encounter, resolved FROM issue_encounter";
    assert_eq!(database.ask(link), ["7|1|12|0"]);
    assert_eq!(database.ask("SELECT pid, type, date IS NOT NULL FROM lists_touch"), ["7|medical_problem|1"]);
    let mut elsewhere = Change { payload: case.create.payload, ..again };
    elsewhere.references[1].remote_id = Some("13".into());
    one(&database, &context, elsewhere);
    assert_eq!(database.ask("SELECT encounter FROM issue_encounter ORDER BY encounter"), ["12", "13"]);
    one(&database, &context, allergy().create);
    assert_eq!(database.ask("SELECT type FROM lists_touch ORDER BY type"), ["allergy", "medical_problem"]);
    assert_eq!(database.ask("SELECT table_name, table_id FROM uuid_registry"), ["lists|id"; 2]);
}

#[test]
fn an_issue_without_an_end_date_ends_on_the_day_of_the_change() {
    let database = Database::open();
    let context = context(&database);
    let payload = json!({"clinical_status": "inactive", "code": {"display": "Asthma"}});
    one(&database, &context, record("condition", "C-1", &payload));
    assert_eq!(database.ask("SELECT enddate, outcome, activity FROM lists"), ["2025-03-01 00:00:00|0|1"]);
}

#[test]
fn a_record_entered_in_error_is_hidden() {
    let database = Database::open();
    let context = context(&database);
    for change in [
        allergy_of(&json!({"verification_status": "entered-in-error"})),
        record("medication", "M-1", &json!({"status": "entered-in-error", "medication": {"display": "x"}})),
    ] {
        one(&database, &context, change);
    }
    assert_eq!(database.ask("SELECT activity FROM lists"), ["0", "0"]);
}

#[test]
fn fields_without_a_column_are_kept_in_the_text() {
    let database = Database::open();
    let context = context(&database);
    let kcd = json!({"system": "urn:kcd", "code": "J45", "display": "Asthma"});
    one(&database, &context, record("condition", "C-1", &json!({"clinical_status": "relapse", "code": kcd})));
    let payload = json!({"status": "on-hold", "medication": {"display": "Aspirin"}, "note": "Ask again"});
    one(&database, &context, record("medication", "M-1", &payload));
    one(&database, &context, allergy_of(&json!({"reaction": [{"manifestation": {"display": "Green nose"}}]})));
    assert_eq!(
        database.ask("SELECT diagnosis, reaction, replace(comments, char(10), '/') FROM lists ORDER BY title"),
        ["NULL||Ask again/Status: on-hold", "NULL||Code: J45 (urn:kcd)/Status: relapse", "NULL||Reaction: Green nose"]
    );
}

#[test]
fn an_overlong_text_is_refused_and_never_truncated() {
    let database = Database::open();
    let mut schema = crate::schema::Schema::from_state(&context(&database).state).unwrap();
    schema.records.get_mut("lists").unwrap().get_mut("title").unwrap().characters_max = Some(4);
    let narrow = Context { state: schema.to_state(), ..context(&database) };
    let refused = refusal(&outcome(&database, &narrow, condition().create));
    assert_eq!(refused, "Invalid: column `title` takes 4 characters, the value has 8");
}
