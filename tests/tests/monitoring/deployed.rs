//! The files under `deploy/`: alert rules, the dashboard, the unit of systemd.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use host::domain::alerts::AlertKind;
use tests::environment::{host_binary, workspace};
use tests::servers::promtool;
use tests::servers::provision::find_program;

use super::directory::Directory;
use super::{LIMIT, Watched, patient};

fn deployed(file: &str) -> PathBuf {
    workspace().join("deploy").join(file)
}

fn read(file: &str) -> String {
    fs::read_to_string(deployed(file)).unwrap_or_else(|error| panic!("{file}: {error}")).replace("\r\n", "\n")
}

#[test]
fn promtool_finds_no_fault_in_the_alert_rules_and_each_fires_where_it_must() {
    let folder = deployed("prometheus");
    for arguments in [["check", "rules", "neuronova.rules.yml"], ["test", "rules", "neuronova.test.yml"]] {
        promtool(&folder, &arguments, "").unwrap_or_else(|error| panic!("{error:#}"));
    }
    let tested = read("prometheus/neuronova.test.yml");
    for alert in alerts() {
        assert!(
            tested.contains(&format!("alertname: {alert}\n        exp_alerts:\n")),
            "{alert} is never seen to fire"
        );
    }
}

fn alerts() -> Vec<String> {
    let rules = read("prometheus/neuronova.rules.yml");
    let alerts: Vec<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 10, "the alerts were found");
    alerts.into_iter().map(str::to_owned).collect()
}

#[test]
fn every_alert_leads_to_its_section_in_the_docs_and_every_section_has_its_alert() {
    let is_of_prometheus = |section: &&str| section.starts_with("Neuronova");
    let page = fs::read_to_string(workspace().join("docs/operations.md")).expect("the page").replace("\r\n", "\n");
    let sections = page.lines().filter_map(|line| line.strip_prefix("### Alert: "));
    let (of_prometheus, own): (Vec<_>, BTreeSet<_>) =
        (sections.clone().filter(is_of_prometheus).collect(), sections.filter(|it| !is_of_prometheus(it)).collect());
    assert_eq!(of_prometheus, alerts());
    assert_eq!(own, AlertKind::WORDS.iter().copied().collect(), "the host's own alerts");
    let rules = read("prometheus/neuronova.rules.yml");
    for alert in alerts() {
        let url = format!("/docs/operations.md#alert-{}\n", alert.to_lowercase());
        assert_eq!(
            rules.matches(&format!("runbook_url: https://example.org/neuronova-sync{url}")).count(),
            1,
            "{alert}"
        );
    }
}

/// The names of metrics in a text, without the parts of a histogram.
fn named(text: &str) -> BTreeSet<String> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let words = text.split(|letter| !is_part(letter));
    let names = words.filter(|word| word.starts_with("neuronova_") || word.starts_with("process_"));
    let whole = |name: &str| {
        let parts = ["_bucket", "_sum", "_count"];
        parts.iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name).to_owned()
    };
    names.map(whole).collect()
}

#[test]
fn every_metric_that_dashboard_rules_and_docs_name_is_shown_and_none_is_left_out_of_the_docs() {
    let watched = Watched::new(&Directory::start().url());
    watched.put(&patient("D-1"));
    let mut running = watched.host.spawn(&["run"]).expect("start");
    let done = "neuronova_queue_deliveries{target=\"phones\",status=\"done\"}";
    running.wait_until("the delivery", LIMIT, || watched.value(done) == Some(1.0)).expect("delivered");
    let metrics = watched.metrics();
    let types = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    // The last one is of a host with channels for its own alerts; their test sees it.
    let with_channels = "neuronova_alert_messages_total".to_owned();
    let shown: BTreeSet<_> = types.map(str::to_owned).chain([with_channels]).collect();
    let page = fs::read_to_string(workspace().join("docs/operations.md")).expect("the page");
    let table = page.split("### Metrics").nth(1).and_then(|rest| rest.split("\n#").next()).expect("the section");
    assert_eq!(named(table), shown, "docs/operations.md, Metrics");
    let dashboard: serde_json::Value = serde_json::from_str(&read("grafana/neuronova.json")).expect("JSON");
    let mut queries = String::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        for query in panel["targets"].as_array().expect("queries") {
            queries += query["expr"].as_str().expect("a query");
            queries += "\n";
        }
    }
    for (file, text) in [("dashboard", queries), ("rules", read("prometheus/neuronova.rules.yml"))] {
        let named = named(&text);
        let unknown: Vec<_> = named.difference(&shown).filter(|name| name.len() > 10).collect();
        assert!(unknown.is_empty(), "the {file} names what no host shows: {unknown:?}");
    }
}

/// What `systemd-analyze security` may find at most: 0 is the safest, 10 the least.
const EXPOSURE_MAX: f64 = 2.0;

#[test]
fn systemd_finds_no_fault_in_the_unit() {
    let Some(analyze) = find_program("systemd-analyze", &[]) else {
        eprintln!("not reached: systemd-analyze (it comes with systemd)");
        return;
    };
    let unit = read("host.service");
    for line in
        ["Type=notify", "WatchdogSec=", "NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=\n"]
    {
        assert!(unit.contains(line), "{line} is not in the unit");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("neuronova-host.service");
    // The same unit with a program that is here.
    fs::write(&file, unit.replace("/usr/local/bin/host", &host_binary().to_string_lossy())).expect("write");
    let run = |arguments: &[&str]| {
        let output = Command::new(&analyze).args(arguments).arg(&file).output().expect("systemd-analyze runs");
        let printed = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.success(), printed)
    };
    let (is_valid, printed) = run(&["verify", "--man=no"]);
    assert!(is_valid && !printed.contains("neuronova-host.service:"), "{printed}");
    let threshold = format!("--threshold={}", EXPOSURE_MAX * 10.0);
    let (is_safe, printed) = run(&["security", "--offline=true", "--no-pager", &threshold]);
    assert!(is_safe, "{printed}");
}
