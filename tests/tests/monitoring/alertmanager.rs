//! An alert on its whole way: the metrics of a host, the deployed rules in the real Prometheus, and the real
//! Alertmanager, as docs/operations.md names it to Prometheus.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::environment::workspace;
use tests::host::HostSignal;
use tests::servers::{Alertmanager, Prometheus};

use super::directory::Directory;
use super::exposition::wait_for;
use super::{LIMIT, Watched};

/// The lines of the page that name Alertmanager to Prometheus, for the one at this port.
fn alerting(port: u16) -> String {
    let page = fs::read_to_string(workspace().join("docs/operations.md")).expect("the page").replace("\r\n", "\n");
    let lines = page.split("```yaml\nalerting:\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the lines");
    assert!(lines.contains("127.0.0.1:9093"), "{lines}");
    format!("alerting:\n{}", lines.replace("127.0.0.1:9093", &format!("127.0.0.1:{port}")))
}

/// What Alertmanager has of this alert now.
async fn alerts(alertmanager: &Alertmanager, name: &str) -> Vec<Value> {
    let url = format!("http://127.0.0.1:{}/api/v2/alerts", alertmanager.port());
    let url = reqwest::Url::parse_with_params(&url, [("filter", format!("alertname=\"{name}\""))]).expect("a URL");
    let answer = reqwest::get(url).await.expect("an answer").text().await.expect("a body");
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

/// Asks Alertmanager until it has so many of this alert.
async fn wait_for_alerts(alertmanager: &Alertmanager, name: &str, count: usize) -> Vec<Value> {
    let until = Instant::now() + LIMIT;
    loop {
        let found = alerts(alertmanager, name).await;
        if found.len() == count {
            return found;
        }
        assert!(Instant::now() < until, "{count} of {name} are expected: {found:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_failed_reload_reaches_alertmanager_with_its_runbook_and_ends_after_a_good_one() {
    const NAME: &str = "NeuronovaReloadFailed";
    let directory = Directory::start();
    let watched = Watched::new(&directory.url());
    let alertmanager = Alertmanager::start().expect("Alertmanager starts");
    let rules = workspace().join("deploy/prometheus/neuronova.rules.yml");
    let prometheus =
        Prometheus::start(&[watched.port], &rules, &alerting(alertmanager.port())).expect("Prometheus starts");
    let running = watched.host.spawn(&["run"]).expect("start");
    wait_for(&prometheus, "neuronova_config_last_reload_successful", 1.0).await;
    assert_eq!(alerts(&alertmanager, NAME).await, Vec::<Value>::new());

    let file = watched.host.folder().join("host.toml");
    let good = fs::read_to_string(&file).expect("read");
    fs::write(&file, format!("{good}\n[sync.no-such-section]\n")).expect("write");
    running.signal(HostSignal::Hangup).expect("signal");
    let raised = wait_for_alerts(&alertmanager, NAME, 1).await.remove(0);
    assert_eq!(
        (&raised["labels"]["severity"], &raised["labels"]["instance"]),
        (&json!("warning"), &json!(format!("127.0.0.1:{}", watched.port)))
    );
    let runbook = "https://example.org/neuronova-sync/docs/operations.md#alert-neuronovareloadfailed";
    assert_eq!(raised["annotations"]["runbook_url"], runbook, "{raised}");
    wait_for(&prometheus, "neuronova_config_last_reload_successful", 0.0).await;

    fs::write(&file, good).expect("write");
    running.signal(HostSignal::Hangup).expect("signal");
    wait_for(&prometheus, "neuronova_config_last_reload_successful", 1.0).await;
    wait_for_alerts(&alertmanager, NAME, 0).await;
}
