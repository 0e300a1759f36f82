//! The metrics as Prometheus reads them, and that they hold nothing of a patient.

use std::path::Path;

use serde_json::Value;
use tests::environment::workspace;
use tests::marked;
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

#[test]
fn nothing_of_a_patient_is_in_what_is_shown() {
    let directory = Directory::start();
    let watched = Watched::new(&directory.url());
    let mut running = watched.host.spawn(&["run"]).expect("start");
    let status = |name: &str| format!("neuronova_queue_deliveries{{target=\"phones\",status=\"{name}\"}}");
    // It arrives, it is refused with its own text in the answer, and it waits while the target is down.
    watched.put(&marked::patient(marked::PATIENT_ID));
    running.wait_until("it arrives", LIMIT, || watched.value(&status("done")) == Some(1.0)).expect("done");
    directory.answer(Answer::Refuses);
    watched.put(&marked::patient("Zz-patient_id-2"));
    running.wait_until("it fails", LIMIT, || watched.value(&status("failed")) == Some(1.0)).expect("failed");
    assert!(watched.host.run(&["failed", "list"]).stdout.contains("Zz-patient_id-2"), "the command names the patient");
    directory.answer(Answer::Down);
    watched.put(&marked::patient("Zz-patient_id-3"));
    running.wait_until("it waits", LIMIT, || watched.value(&status("pending")) == Some(1.0)).expect("pending");
    let marks = marked::patient_marks();
    for path in ["/metrics", "/status.json", "/livez", "/readyz"] {
        let (_, text) = watched.get(path).expect("an answer");
        assert_eq!(marked::found(&marks, &text), Vec::<&str>::new(), "{path}:\n{text}");
        assert!(!text.contains(marked::PATIENT_ID), "{path} shows an id:\n{text}");
    }
    let log = running.stderr();
    assert_eq!(marked::found(&marks, &log), Vec::<&str>::new(), "{log}");
}
