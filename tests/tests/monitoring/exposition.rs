//! The metrics as Prometheus reads them, and that they hold nothing of a patient.

use std::path::Path;

use serde_json::{Map, Value, json};
use tests::environment::workspace;
use tests::servers::{Prometheus, promtool};

use super::directory::{Answer, Directory};
use super::{LIMIT, Watched, patient};

#[test]
fn promtool_finds_no_fault_in_the_metrics() {
    let directory = Directory::start();
    let watched = Watched::new(&directory.url());
    watched.put(&patient("E-1"));
    let mut running = watched.host.spawn(&["run"]).expect("start");
    let done = "neuronova_queue_deliveries{target=\"phones\",status=\"done\"}";
    running.wait_until("the delivery", LIMIT, || watched.value(done) == Some(1.0)).expect("delivered");
    let metrics = watched.metrics();
    promtool(Path::new("."), &["check", "metrics"], &metrics).unwrap_or_else(|error| panic!("{error:#}\n{metrics}"));
    for name in [
        "neuronova_build_info{version=",
        "neuronova_adapter_info{target=\"phones\",name=\"example-directory\",version=",
        "neuronova_step_duration_seconds_bucket{target=\"phones\",step=\"claim\",le=\"+Inf\"}",
        "neuronova_batch_deliveries_sum{target=\"phones\"} 1",
        "neuronova_sandbox_memory_bytes_count{target=\"phones\"} 1",
        "neuronova_store_statements_total ",
        "process_resident_memory_bytes ",
    ] {
        assert!(metrics.contains(&format!("\n{name}")), "{name} is not in:\n{metrics}");
    }
    for step in ["claim", "adapter", "fence", "settle"] {
        let count = format!("neuronova_step_duration_seconds_count{{target=\"phones\",step=\"{step}\"}}");
        assert!(super::value(&metrics, &count).is_some_and(|count| count >= 1.0), "{count}:\n{metrics}");
    }
}

/// What Prometheus answers to a query: the value of each series, with its labels.
async fn query(prometheus: &Prometheus, query: &str) -> Vec<(Value, f64)> {
    // Another test may have named it already.
    drop(rustls::crypto::ring::default_provider().install_default());
    let url = reqwest::Url::parse_with_params(&format!("{}/api/v1/query", prometheus.url()), [("query", query)]);
    let answer = reqwest::get(url.expect("a URL")).await.expect("an answer").text().await.expect("a body");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    let series = answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{query}: {answer}"));
    let number = |series: &Value| series["value"][1].as_str().and_then(|value| value.parse().ok()).expect("a number");
    series.iter().map(|series| (series["metric"].clone(), number(series))).collect()
}

/// Asks Prometheus until it answers so.
pub(crate) async fn wait_for(prometheus: &Prometheus, promql: &str, wanted: f64) {
    let until = std::time::Instant::now() + LIMIT;
    loop {
        let found = query(prometheus, promql).await;
        if found.iter().any(|(_, value)| (value - wanted).abs() < f64::EPSILON) {
            return;
        }
        assert!(std::time::Instant::now() < until, "{promql} is not {wanted}: {found:?}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn prometheus_sees_a_target_go_down_and_come_back() {
    let directory = Directory::start();
    let watched = Watched::new(&directory.url());
    let prometheus = Prometheus::start(&[watched.port], &workspace().join("deploy/prometheus/neuronova.rules.yml"), "")
        .expect("Prometheus starts");
    let _running = watched.host.spawn(&["run"]).expect("start");
    wait_for(&prometheus, "up", 1.0).await;
    wait_for(&prometheus, "neuronova_target_up", 1.0).await;
    directory.answer(Answer::Down);
    watched.put(&patient("E-2"));
    wait_for(&prometheus, "neuronova_target_up", 0.0).await;
    wait_for(&prometheus, "sum(neuronova_queue_deliveries{status=\"pending\"})", 1.0).await;
    let pending = "ALERTS{alertname=\"NeuronovaTargetDown\",alertstate=\"pending\",target=\"phones\"}";
    wait_for(&prometheus, pending, 1.0).await;
    directory.answer(Answer::Takes);
    wait_for(&prometheus, "neuronova_target_up", 1.0).await;
    wait_for(&prometheus, "neuronova_deliveries_total{outcome=\"done\"}", 1.0).await;
    wait_for(&prometheus, &format!("count({pending}) or vector(0)"), 0.0).await;
}

/// A patient whose every text can be found again.
pub(crate) fn marked() -> Value {
    let dates = [("birth_date", "1953-07-19"), ("deceased_date", "2021-11-23")];
    let words = [("gender", "female"), ("marital_status", "widowed"), ("country", "KR"), ("language", "ko")];
    let codes = [("email", "zzmail@zzmarked.example"), ("race", "asian"), ("ethnicity", "not_hisp_or_latin")];
    let texts = [
        "patient_id",
        "family_name",
        "given_name",
        "middle_name",
        "native_family_name",
        "native_given_name",
        "title",
        "suffix",
        "phone_home",
        "phone_mobile",
        "phone_work",
        "street",
        "street_line_2",
        "city",
        "state",
        "postal_code",
        "national_id",
    ];
    let texts = texts.map(|field| (field.to_owned(), json!(format!("Zz-{field}"))));
    let others = dates.into_iter().chain(words).chain(codes).map(|(field, text)| (field.to_owned(), json!(text)));
    Value::Object(texts.into_iter().chain(others).collect::<Map<_, _>>())
}

/// The texts by which that patient is found. Words that are no patient's alone would be found in names of ours.
pub(crate) fn marks() -> Vec<String> {
    let shared = ["gender", "marital_status", "country", "language", "race", "ethnicity"];
    let (marked, is_own) = (marked(), |field: &str| !shared.contains(&field));
    let texts = marked.as_object().expect("an object").iter().filter(|(field, _)| is_own(field.as_str()));
    texts.map(|(_, text)| text.as_str().expect("a text").to_owned()).collect()
}

#[test]
fn nothing_of_a_patient_is_in_what_is_shown() {
    let directory = Directory::start();
    let watched = Watched::new(&directory.url());
    let mut running = watched.host.spawn(&["run"]).expect("start");
    let status = |name: &str| format!("neuronova_queue_deliveries{{target=\"phones\",status=\"{name}\"}}");
    // It arrives, it is refused with its own text in the answer, and it waits while the target is down.
    watched.put(&marked());
    running.wait_until("it arrives", LIMIT, || watched.value(&status("done")) == Some(1.0)).expect("done");
    directory.answer(Answer::Refuses);
    let mut refused = marked();
    refused["patient_id"] = json!("Zz-patient_id-2");
    watched.put(&refused);
    running.wait_until("it fails", LIMIT, || watched.value(&status("failed")) == Some(1.0)).expect("failed");
    assert!(watched.host.run(&["failed", "list"]).stdout.contains("Zz-patient_id-2"), "the command names the patient");
    directory.answer(Answer::Down);
    let mut waiting = marked();
    waiting["patient_id"] = json!("Zz-patient_id-3");
    watched.put(&waiting);
    running.wait_until("it waits", LIMIT, || watched.value(&status("pending")) == Some(1.0)).expect("pending");
    let marks = marks();
    assert_eq!(marks.len(), 20);
    for path in ["/metrics", "/status.json", "/livez", "/readyz"] {
        let (_, text) = watched.get(path).expect("an answer");
        for mark in &marks {
            assert!(!text.contains(mark.as_str()), "{path} shows {mark}:\n{text}");
        }
    }
    let log = running.stderr();
    for mark in marks.iter().filter(|mark| !mark.contains("patient_id")) {
        assert!(!log.contains(mark.as_str()), "the log shows {mark}:\n{log}");
    }
}
