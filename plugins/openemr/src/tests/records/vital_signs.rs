//! `form_vitals` and its row in `forms`.

use super::*;

fn vital(id: &str, code: &str, value: &Value, unit: &str) -> Change {
    let payload = json!({
        "status": "final", "category": "vital-signs", "effective": "2025-03-01T09:35:00+09:00",
        "code": {"system": "http://loinc.org", "code": code, "display": "a vital sign"},
        "value_quantity": {"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit},
    });
    within("12", record("observation", id, &payload))
}

fn pressure(systolic: i64, note: Option<&str>) -> Change {
    let part = |code: &str, value: i64| {
        json!({
            "code": {"system": "http://loinc.org", "code": code, "display": "pressure"},
            "value_quantity": {"value": value, "unit": "mmHg", "system": "http://unitsofmeasure.org", "code": "mm[Hg]"},
        })
    };
    let payload = json!({
        "status": "final", "category": "vital-signs", "effective": "2025-03-01T09:35:00+09:00",
        "code": {"system": "http://loinc.org", "code": "85354-9", "display": "Blood pressure"},
        "component": [part("8480-6", systolic), part("8462-4", 80)],
    });
    within("12", record("observation", "O-1", &with(payload, &json!({"note": note}))))
}

pub(super) fn case() -> Case {
    Case {
        create: pressure(120, None),
        update: pressure(135, Some("Sitting")),
        read: "SELECT v.date, v.pid, bps, bpd, weight, note, activity, f.encounter, f.pid, f.form_name, f.deleted \
               FROM form_vitals v JOIN forms f ON f.form_id = v.id AND f.formdir = 'vitals'",
        created: "2025-03-01 09:35:00|7|120|80|NULL|NULL|1|12|7|Vitals|0",
        updated: "2025-03-01 09:35:00|7|135|80|NULL|Sitting|1|12|7|Vitals|0",
        hidden: "EXISTS (SELECT id FROM forms WHERE forms.form_id = form_vitals.id AND forms.deleted = 1)",
        table: "form_vitals",
        edit: "UPDATE form_vitals SET bps = '99'",
    }
}

#[test]
fn each_code_has_its_column_in_openemrs_unit() {
    for (code, value, unit, column, expected) in [
        ("8480-6", json!(120), "mm[Hg]", "bps", "120"),
        ("8462-4", json!(80.5), "mm[Hg]", "bpd", "80.5"),
        ("8867-4", json!(72), "/min", "pulse", "72.000000"),
        ("9279-1", json!(16), "/min", "respiration", "16.000000"),
        ("8310-5", json!(36.6), "Cel", "temperature", "97.880000"),
        ("29463-7", json!(70), "kg", "weight", "154.323584"),
        ("8302-2", json!(170), "cm", "height", "66.929134"),
        ("39156-5", json!(24.2), "kg/m2", "BMI", "24.200000"),
        ("9843-4", json!(35.5), "cm", "head_circ", "13.976378"),
        ("8280-0", json!(90), "cm", "waist_circ", "35.433071"),
        ("59408-5", json!(98), "%", "oxygen_saturation", "98.00"),
        ("2708-6", json!(97.5), "%", "oxygen_saturation", "97.50"),
        ("3151-8", json!(2), "L/min", "oxygen_flow_rate", "2.000000"),
        ("3150-6", json!(40), "%", "inhaled_oxygen_concentration", "40.00"),
    ] {
        let database = Database::open();
        let context = context(&database);
        let change = vital("O-1", code, &value, unit);
        let first = one(&database, &context, change.clone());
        let decimals = expected.split_once('.').map_or(0, |(_, digits)| digits.len());
        let read =
            if column.starts_with("bp") { column.to_owned() } else { format!("printf('%.{decimals}f', {column})") };
        assert_eq!(database.ask(&format!("SELECT {read} FROM form_vitals")), [expected], "{code}");
        assert_eq!(observed(&database, &context, &change, &first), "as written", "{code}");
    }
}

#[test]
fn vital_signs_without_a_column_are_skipped_with_the_reason() {
    let database = Database::open();
    let context = context(&database);
    let skipped = |change: Change| super::skipped(&database, &context, change);
    let with = |change: Change, fields: &Value| {
        let payload = with(serde_json::from_str(&change.payload).unwrap(), fields).to_string();
        Change { payload, ..change }
    };
    let pulse = || vital("O-1", "8867-4", &json!(72), "/min");
    assert!(skipped(with(pulse(), &json!({"category": "laboratory"}))).starts_with("a laboratory result"));
    assert!(skipped(vital("O-1", "72166-2", &json!(1), "1")).contains("a code that form_vitals has no column for"));
    assert!(skipped(vital("O-1", "29463-7", &json!(11), "[stone_av]")).contains("in a unit that this adapter cannot"));
    assert!(skipped(vital("O-1", "8867-4", &json!(0), "/min")).contains("0 or less"));
    assert!(
        skipped(with(pulse(), &json!({"value_quantity": null, "value_string": "fast"}))).contains("without a number")
    );
    let outside = Change { references: pulse().references[..1].to_vec(), ..pulse() };
    assert!(skipped(outside).contains("within one"));
    assert_eq!(database.ask("SELECT COUNT(*) FROM form_vitals"), ["0"]);
    assert_eq!(database.ask("SELECT COUNT(*) FROM uuid_registry"), ["0"], "nothing is left behind");
}

#[test]
fn an_erroneous_vital_sign_is_hidden_and_a_changed_kind_empties_the_old_column() {
    let database = Database::open();
    let context = context(&database);
    let first = one(&database, &context, vital("O-1", "8867-4", &json!(72), "/min"));
    let second = one(&database, &context, linked(vital("O-1", "8310-5", &json!(37), "Cel"), &first));
    assert_eq!(database.ask("SELECT pulse, printf('%.1f', temperature) FROM form_vitals"), ["NULL|98.6"]);
    let change = linked(vital("O-1", "8867-4", &json!(72), "/min"), &second);
    one(&database, &context, Change { payload: change.payload.replace("final", "entered-in-error"), ..change });
    assert_eq!(database.ask("SELECT deleted FROM forms"), ["1"]);
}

#[test]
fn an_overlong_note_is_omitted_with_a_log_line() {
    let database = Database::open();
    let context = context(&database);
    let applied = run(&database, &context, &[pressure(120, Some(&"x".repeat(300)))]).unwrap();
    assert_eq!(
        applied.notes,
        ["left `note` empty: column `note` takes 255 characters, the value has 300; observations O-1"]
    );
    assert_eq!(database.ask("SELECT bps, note FROM form_vitals"), ["120|NULL"]);
}

#[test]
fn a_save_of_openemrs_vitals_form_is_not_an_edit() {
    let database = Database::open();
    let context = context(&database);
    let change = vital("O-1", "8867-4", &json!(72), "/min");
    let first = one(&database, &context, change.clone());
    database.change("UPDATE form_vitals SET weight = 0, height = 0.000000, note = '', bps = '', BMI_status = 'Normal'");
    assert_eq!(observed(&database, &context, &change, &first), "as written");
}
