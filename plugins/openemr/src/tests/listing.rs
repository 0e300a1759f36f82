//! Charts that carry our uuid, among charts of others.

use adapter_sdk::{FailureKind, OwnPage};

use super::*;
use crate::list::list;
use crate::settings::PublicId;

fn ids(page: &OwnPage) -> Vec<String> {
    page.records.iter().map(|record| format!("{} {}", record.aggregate_id, record.remote_id)).collect()
}

#[test]
fn our_charts_are_listed_in_pages_among_those_of_others() {
    let database = Database::open();
    let context = context(&database);
    let born = |day: u32| format!(r#"{{"birth_date": "1990-01-{day:02}"}}"#);
    let first = receipts(&database, &context, &[change("P-1", &born(1)), change("P-2", &born(2))]);
    let pid: i64 = first[1].remote_id.parse().unwrap();
    // A chart of others, one that only has the id of one of ours, and one whose public id was edited.
    database.change(&format!(
        "INSERT INTO patient_data (uuid, pid, pubpid, fname) VALUES (x'0102030405060708090a0b0c0d0e0f10', {}, '77', 'a'), \
         (x'1102030405060708090a0b0c0d0e0f10', {}, 'P-1', 'b')",
        pid + 1,
        pid + 2
    ));
    let more = receipts(&database, &context, &[change("P-3", &born(3)), change("P-4", &born(4))]);
    database.change(&format!("UPDATE patient_data SET pubpid = 'edited' WHERE pid = {}", more[1].remote_id));
    database.said();
    let expected = [("P-1", &first[0]), ("P-2", &first[1]), ("P-3", &more[0])];
    let expected: Vec<_> = expected.iter().map(|(id, receipt)| format!("{id} {}", receipt.remote_id)).collect();
    for limit in [1, 2, 3, 100] {
        let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = list(&database, &Settings::default(), &context, "patient", after.as_deref(), limit).unwrap();
            found.extend(ids(&page));
            pages += 1;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "{limit} a page");
        assert_eq!(pages, 6 / limit + 1, "{limit} a page");
    }
    assert!(database.said().iter().all(|sql| sql.starts_with("SELECT ")));
}

#[test]
fn what_shows_no_id_of_ours_cannot_be_listed() {
    let with_uuid = Database::open();
    let without_uuid = Database::open_without_uuid();
    let by_pid = Settings { pubpid: PublicId::Pid, ..Settings::default() };
    for (database, settings, aggregate_type) in [
        (&with_uuid, Settings::default(), "encounter"),
        (&with_uuid, by_pid, "patient"),
        (&without_uuid, Settings::default(), "patient"),
    ] {
        let failure = list(database, &settings, &context(database), aggregate_type, None, 10).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unsupported, "{}", failure.message);
    }
    let failure = list(&with_uuid, &Settings::default(), &context(&with_uuid), "patient", Some("x"), 10).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Invalid);
}
