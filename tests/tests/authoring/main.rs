//! What an adapter's author meets: the conformance suite, projects that are begun by the host, and adapters in other
//! languages that deliver like any other.

mod conformance;
mod examples;
mod faults;
mod projects;
mod readme;

use std::path::PathBuf;

use tests::environment::target_directory;
use tests::host::{Configuration, Host, Output};

/// A host with nothing to synchronise.
fn host() -> Host {
    Host::new(&Configuration::new("sqlite://.host/host.db")).expect("host")
}

/// Components of 18 MB take long to compile, and all tests may share what came of it.
fn cache() -> PathBuf {
    target_directory().join("example-tools").join("cache")
}

/// Runs the suite over a component, and returns its output.
fn conformance(host: &Host, component: &std::path::Path, more: &[&str]) -> (Output, serde_json::Value) {
    let component = component.to_string_lossy().into_owned();
    let cache = cache().to_string_lossy().into_owned();
    let arguments = ["plugin", "test", &component, "--json", "--cache", &cache];
    let output = host.run(&[&arguments[..], more].concat());
    let said = output.json();
    (output, said)
}

/// The checks that failed, as `CHECK: MESSAGE`.
fn failed(said: &serde_json::Value) -> Vec<String> {
    let checks = said["checks"].as_array().expect("checks");
    assert!(checks.len() > 1, "something was tried: {said}");
    let failed = checks.iter().filter(|check| check["passed"] == false);
    let text = |check: &serde_json::Value, member: &str| check[member].as_str().expect("text").to_owned();
    failed.map(|check| format!("{}: {}", text(check, "check"), text(check, "message"))).collect()
}

fn example_table() -> String {
    let file = tests::environment::workspace().join("plugins").join("examples").join("chart.sql");
    file.to_string_lossy().into_owned()
}
