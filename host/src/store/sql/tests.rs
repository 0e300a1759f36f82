//! What each database is sent, as files that a reviewer reads, and the rules of templates.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use expect_test::expect_file;

use super::parameter::{Kind, Parameter};
use super::render::Rendered;
use super::template::Library;
use super::{ALL, Declared, FRAGMENTS, Names, Now, Statements, TEMPLATES};
use crate::database::{Dialect, Value};
use crate::domain::delivery::{Event, Status, Transition, next_status};
use crate::domain::ids::ChangeId;
use crate::domain::patient::PatientDraft;

const NAMES: Names<'static> = Names { collation: "", users_table: "users", now: Now::Database };

const DATABASES: [(Dialect, &str); 4] = [
    (Dialect::Sqlite, ""),
    (Dialect::Postgres, ""),
    (Dialect::MySql, "utf8mb4_nopad_bin"),
    (Dialect::MySql, "utf8mb4_0900_bin"),
];

/// Every text of every statement: with all parameters given, with none of those that may be left out, and lists of two.
fn texts(dialect: Dialect, collation: &str) -> String {
    let users_table = dialect.quoted("users");
    let names = Names { collation, users_table: &users_table, ..NAMES };
    let statements = Statements::render(dialect, &names).expect("the templates render");
    let mut file = format!(
        "-- What {} is sent. Made of the templates: `UPDATE_EXPECT=1 cargo test -p host --lib store::sql` writes it anew.\n",
        dialect.name()
    );
    for (declared, rendered) in ALL.iter().zip(&statements.rendered) {
        for (note, text) in rendered.examples() {
            write!(file, "\n-- {}{note}\n{text};\n", declared.name).expect("a String takes text");
        }
    }
    file
}

#[test]
fn each_database_gets_the_statements_of_its_snapshot() {
    expect_file!["rendered/sqlite.sql"].assert_eq(&texts(Dialect::Sqlite, ""));
    expect_file!["rendered/mysql.sql"].assert_eq(&texts(Dialect::MySql, "utf8mb4_nopad_bin"));
    expect_file!["rendered/postgres.sql"].assert_eq(&texts(Dialect::Postgres, ""));
}

#[test]
fn every_template_renders_for_every_database_and_clock() {
    for (dialect, collation) in DATABASES {
        for now in [Now::Database, Now::Parameter] {
            Statements::render(dialect, &Names { collation, now, ..NAMES }).expect("the templates render");
        }
    }
}

/// The statuses between quotes in this text.
fn statuses_in(text: &str) -> Vec<Status> {
    text.split('\'').skip(1).step_by(2).filter_map(Status::from_word).collect()
}

/// Whichever way a template is written, what the database gets moves deliveries as `next_status` does.
#[test]
fn every_statement_moves_deliveries_as_next_status_does() {
    let statements = Statements::render(Dialect::Sqlite, &NAMES).expect("the templates render");
    let mut moves = BTreeSet::new();
    for (declared, rendered) in ALL.iter().zip(&statements.rendered) {
        for (_, text) in rendered.examples() {
            let is_update = text.starts_with("UPDATE sync_delivery");
            let Some((_, set)) = text.split_once("SET status = ").filter(|_| is_update) else { continue };
            let (to, rest) = set.split_once(['\n', ',']).expect("more columns");
            let (_, guard) = rest.rsplit_once("status ").expect("a guard");
            let (from, to) = (statuses_in(guard), statuses_in(to));
            assert!(!from.is_empty(), "`{}` moves without a compare-and-set", declared.name);
            // `update_each` takes what `next_status` has decided.
            let by_row = declared.name == "update_each";
            assert_eq!(to.is_empty(), by_row, "{}", declared.name);
            let decided =
                [Event::Confirm, Event::Defer, Event::GiveUp, Event::Skip].map(|event| Transition::of(event).to);
            for (from, to) in from.iter().flat_map(|from| {
                let to = if by_row { decided.to_vec() } else { to.clone() };
                to.into_iter().map(|to| (*from, to))
            }) {
                let is_allowed = Event::ALL.iter().any(|event| next_status(from, *event) == Some(to));
                assert!(is_allowed, "`{}` moves from {from} to {to}", declared.name);
                moves.insert((from, to));
            }
        }
    }
    let of = |event| {
        let Transition { from, to } = Transition::of(event);
        from.into_iter().map(move |from| (from, to))
    };
    let expected: BTreeSet<_> = Event::ALL.into_iter().flat_map(of).collect();
    assert_eq!(moves, expected, "every move is made by a statement");
}

#[test]
fn no_template_writes_a_status_by_itself() {
    for source in FRAGMENTS.iter().chain(TEMPLATES) {
        for line in source.lines().filter(|line| !line.trim_start().starts_with("--")) {
            assert!(statuses_in(line).is_empty(), "{line}");
        }
    }
}

#[test]
fn every_fragment_is_used() {
    let sources: String = FRAGMENTS.iter().chain(TEMPLATES).copied().collect();
    for line in sources.lines().filter_map(|line| line.strip_prefix("-- fragment: ")) {
        let name = line.split(['(', ' ']).next().unwrap_or(line);
        let is_used = name.starts_with("batch_")
            || sources.contains(&format!("{{{name}}}"))
            || sources.contains(&format!("{{{name}("));
        assert!(is_used, "{name}");
    }
}

#[test]
fn patient_columns_match_payload_fields() {
    let library = library(Dialect::Sqlite, &[], TEMPLATES);
    let columns = |name: &str| library.expand(name).expect(name).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(columns("put_patient_block").contains(&format!("({}, created_at", PatientDraft::FIELDS.join(", "))));
    let read: Vec<_> = PatientDraft::FIELDS.iter().map(|field| format!("t.{field}")).collect();
    let read = format!("SELECT {}, t.openemr_patient_id, t.fhir_patient_id FROM", read.join(", "));
    assert!(columns("list_patients").contains(&read));
}

fn library<'a>(dialect: Dialect, fragments: &[&'a str], templates: &[&'a str]) -> Library<'a> {
    let fragments: Vec<_> = FRAGMENTS.iter().chain(fragments).copied().collect();
    Library::read(dialect, &NAMES, &fragments, templates).expect("the library reads")
}

fn rendered(dialect: Dialect, parameters: &'static [(&'static str, Kind)], text: &str) -> Result<Rendered, String> {
    Rendered::new(dialect, &Declared { name: "x", parameters }, text)
}

#[test]
fn a_faulty_template_is_refused_when_it_is_rendered() {
    const PARAMETERS: &[(&str, Kind)] = &[("a", Kind::Integer), ("list", Kind::Texts)];
    let cases = [
        ("-- name: x\nSELECT {nothing}", "there is no fragment `nothing`"),
        ("-- name: x\nSELECT {new(a, b)}", "`new` takes 1 arguments, not 2"),
        ("-- name: x\nSELECT {now", "a brace is not closed"),
        ("-- fragment: f\n{f}\n-- name: x\nSELECT {f}", "a fragment holds itself"),
    ];
    for (source, expected) in cases {
        let error = library(Dialect::Sqlite, &[], &[source]).expand("x").expect_err(source);
        assert!(error.contains(expected), "{error}: {expected}");
    }
    let twice = ["-- name: x\nSELECT 1", "-- name: x\nSELECT 2"];
    assert!(Library::read(Dialect::Sqlite, &NAMES, &[], &twice).is_err());
    let cases = [
        ("a = :a AND b IN (:list...) AND c = :c", "there is no parameter `c`"),
        ("b IN (:list...)", "the parameter `a` is not used"),
        ("a = :a AND b IN (:list)", "is a list"),
        ("a IN (:a...) AND b IN (:list...)", "is no list"),
        ("a = :a AND b IN (:list...) [[AND TRUE]]", "without a parameter"),
        ("a = :a AND b IN (:list...) OR c IN (:list...)", "more than one list"),
    ];
    for (text, expected) in cases {
        let error = rendered(Dialect::Sqlite, PARAMETERS, text).expect_err(text);
        assert!(error.contains(expected), "{error}: {expected}");
    }
}

#[test]
fn names_become_positions_outside_of_quotes() {
    const PARAMETERS: &[(&str, Kind)] = &[("b", Kind::Integer), ("a_c", Kind::Text)];
    let text = "SELECT ':a' FROM t WHERE x = :b AND y = :a_c AND z = :b";
    let bound = rendered(Dialect::Postgres, PARAMETERS, text).expect("rendered").bind(&mut [
        Parameter::One(1.into()),
        Parameter::One("c".into()),
        Parameter::One(Value::Null),
    ]);
    let expected = "SELECT ':a' FROM t WHERE x = CAST($1 AS BIGINT) AND y = $2 AND z = CAST($3 AS BIGINT)";
    assert_eq!(&*bound.sql, expected);
    assert!(bound.values == [1.into(), "c".into(), 1.into()]);
}

#[test]
fn ids_are_padded_parameters_or_one_list_by_dialect() {
    const PARAMETERS: &[(&str, Kind)] = &[("a", Kind::Integer), ("ids", Kind::Ids)];
    let run = |dialect, ids: &[i64]| {
        let ids: Vec<_> = ids.iter().copied().map(ChangeId::new).collect();
        let text = library(dialect, &[], &["-- name: x\na = :a AND {key_in_ids(id)}"]).expand("x").expect("expanded");
        let rendered = rendered(dialect, PARAMETERS, &text).expect("rendered");
        rendered.bind(&mut [Parameter::One(1.into()), Parameter::Ids(&ids), Parameter::One(Value::Null)])
    };
    let bound = run(Dialect::MySql, &[7, 8, 9]);
    assert_eq!(&*bound.sql, "a = ? AND id IN (?, ?, ?, ?)");
    assert!(bound.values == [1, 7, 8, 9, 9].map(Value::I64));
    assert!(run(Dialect::MySql, &[]).values == [1, -1].map(Value::I64));
    for dialect in [Dialect::Sqlite, Dialect::Postgres] {
        assert!(run(dialect, &[7, 8, 9]).values == [Value::I64(1), Value::Json("[7,8,9]".to_owned())]);
    }
}

#[test]
fn absent_values_are_omitted_and_postgres_text_gets_null() {
    const PARAMETERS: &[(&str, Kind)] = &[("a", Kind::Text), ("b", Kind::Text), ("list", Kind::Texts)];
    let text = "UPDATE t SET a = :a WHERE TRUE [[AND b = :b]]\n  [[AND c IN (:list...)]]";
    let list = ["x".to_owned(), "y".to_owned(), "z".to_owned()];
    let run = |dialect, a: Option<&str>, b: Option<&str>, list: &[String]| {
        let parameters = &mut [
            Parameter::One(a.into()),
            Parameter::One(b.into()),
            Parameter::Texts(list),
            Parameter::One(Value::Null),
        ];
        rendered(dialect, PARAMETERS, text).expect("rendered").bind(parameters)
    };
    let bound = run(Dialect::MySql, Some("1"), Some("2"), &list);
    assert_eq!(&*bound.sql, "UPDATE t SET a = ? WHERE TRUE AND b = ?\n  AND c IN (?, ?, ?, ?)");
    assert!(bound.values == ["1", "2", "x", "y", "z", "z"].map(Value::from));
    assert_eq!(&*run(Dialect::MySql, None, None, &[]).sql, "UPDATE t SET a = ? WHERE TRUE");
    assert_eq!(&*run(Dialect::Postgres, None, Some("2"), &[]).sql, "UPDATE t SET a = NULL WHERE TRUE AND b = $1");
}

#[test]
fn rows_are_rendered_in_each_dialects_form() {
    const PARAMETERS: &[(&str, Kind)] = &[("rows", Kind::Rows(2))];
    let rows = || vec![vec![Some("1".to_owned()), None], vec![Some("2".to_owned()), Some("x".to_owned())]];
    let run = |dialect, text: &str| {
        let rendered = rendered(dialect, PARAMETERS, text).expect("rendered");
        rendered.bind(&mut [Parameter::Rows(rows()), Parameter::One(7.into())])
    };
    let bound = run(Dialect::Sqlite, "INSERT INTO t (a, b, at) VALUES (:rows, :now)... ON CONFLICT DO NOTHING");
    assert_eq!(&*bound.sql, "INSERT INTO t (a, b, at) VALUES (?, ?, ?), (?, ?, ?) ON CONFLICT DO NOTHING");
    assert!(bound.values == ["1".into(), Value::Null, 7.into(), "2".into(), "x".into(), 7.into()]);
    let bound = run(Dialect::Postgres, "SELECT j.a, j.b FROM unnest(:rows) AS j(a, b)");
    assert_eq!(&*bound.sql, "SELECT j.a, j.b FROM unnest($1, $2) AS j(a, b)");
    let columns = [vec![Some("1".to_owned()), Some("2".to_owned())], vec![None, Some("x".to_owned())]];
    assert!(bound.values == columns.map(Value::Texts));
}

#[test]
fn an_update_from_rows_is_a_join_on_mysql() {
    let source = "-- name: x\nUPDATE t AS t {force_index(PRIMARY)}\nSET a = COALESCE(j.a, 1),\n    b = 2\nFROM j\nWHERE t.id = j.id;";
    let joined = "UPDATE j\nSTRAIGHT_JOIN t AS t FORCE INDEX (PRIMARY)\n   ON t.id = j.id\nSET t.a = COALESCE(j.a, 1),\n    t.b = 2";
    assert_eq!(library(Dialect::MySql, &[], &[source]).expand("x").as_deref(), Ok(joined));
    let plain = "UPDATE t AS t\nSET a = COALESCE(j.a, 1),\n    b = 2\nFROM j\nWHERE t.id = j.id";
    assert_eq!(library(Dialect::Sqlite, &[], &[source]).expand("x").as_deref(), Ok(plain));
}
