//! `host trace` at the command line: pages over several targets, and the change of an event.

use serde_json::{Value, json};
use tests::environment::Backend;

use super::operating::{Hospital, hospital};
use super::{assert_says, on_every_store, write};

on_every_store!(pages_over_several_targets_leave_out_and_repeat_nothing, an_event_leads_to_its_change_alone);

fn all<'a>(answer: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    answer[list].as_array().unwrap_or_else(|| panic!("no {list}: {answer}")).iter()
}

async fn pages_over_several_targets_leave_out_and_repeat_nothing(backend: Backend) {
    let Some(Hospital { host, mut session, _database }) = hospital(backend).await else { return };
    for (target, ids) in [("openemr", &[1, 2, 3, 4, 5][..]), ("labs", &[3, 6])] {
        for id in ids {
            let insert = format!(
                "INSERT INTO sync_delivery (target, outbox_id, aggregate_type, aggregate_id, status, created_at, \
                 finished_at) VALUES ('{target}', {id}, 'patient', 'P-1', 'done', 5, 5)"
            );
            session.execute(&insert).await.expect("insert");
        }
    }
    let page = |before: Option<i64>| {
        let before = before.map(|before| format!("--before={before}"));
        let arguments = ["trace", "--limit", "2", "--json"].into_iter().chain(before.as_deref());
        let answer = host.run(&arguments.collect::<Vec<_>>()).expect_success().json();
        let name =
            |delivery: &Value| format!("{} {}", delivery["target"].as_str().expect("a name"), delivery["change_id"]);
        (all(&answer, "deliveries").map(name).collect::<Vec<_>>().join(", "), answer["next"].as_i64())
    };
    assert_eq!(page(None), ("labs 6, openemr 5, openemr 4".to_owned(), Some(4)));
    assert_eq!(page(Some(4)), ("labs 3, openemr 3, openemr 2".to_owned(), Some(2)));
    assert_eq!(page(Some(2)), ("openemr 1".to_owned(), None));
    let shown = host.run(&["trace", "--limit", "2"]).expect_success().stdout;
    assert!(shown.ends_with("\nthere are more: add --before 4\n"), "{shown}");
}

async fn an_event_leads_to_its_change_alone(backend: Backend) {
    let Some(Hospital { host, _database, .. }) = hospital(backend).await else { return };
    let other = json!({
        "patient_id": "P-1", "family_name": "Kim", "given_name": "B", "birth_date": "1951-12-31", "gender": "female",
    });
    write(&host, "patient.json", other.to_string().as_bytes());
    let _ = host.run(&["patient", "put", "patient.json"]).expect_success();
    let written = |arguments: &[&str]| {
        let story = host.run(&[&["trace"], arguments, &["--json"]].concat()).expect_success().json();
        assert_eq!(story["aggregate_id"], "P-1", "{story}");
        all(&story, "events").filter(|event| event["event"] == "written").cloned().collect::<Vec<_>>()
    };
    let both = written(&["P-1"]);
    assert_eq!(both.len(), 2, "{both:?}");
    for one in &both {
        let event = one["event_id"].as_str().expect("an id");
        assert_eq!(written(&["--event", event]), std::slice::from_ref(one));
        let shown = host.run(&["trace", "--event", event]).expect_success().stdout;
        let expected = format!(
            "change {} written: {}, event {event}\n",
            one["change_id"],
            one["operation"].as_str().expect("a word")
        );
        assert!(shown.starts_with("patient P-1\n") && shown.contains(&expected), "{shown}");
    }
    let unknown = host.run(&["trace", "--event", "018f0000-0000-7000-8000-000000000000"]);
    assert_says(&unknown, 1, &["the outbox has no event `018f0000-0000-7000-8000-000000000000`"]);
}
