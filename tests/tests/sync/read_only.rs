//! Credentials that may read and not write: the target is down as misconfigured, and no patient pays for it.

use std::time::Duration;

use serde_json::json;
use tests::host::{Configuration, Host, HostSignal, quoted};

use crate::small_fhir::SmallFhir;
use crate::support::{QUICK, adapter, patient, put};

fn configuration(url: &str, user: &str) -> Configuration {
    with_auth(url, &format!("auth = {{ type = \"basic\", username = \"{user}\", password = \"secret\" }}"))
}

fn with_auth(url: &str, auth: &str) -> Configuration {
    Configuration::new("sqlite://.host/host.db").fhir(&adapter("fhir"), url).more(&format!("{auth}\n")).more(QUICK)
}

/// What `host check` prints of the target, and its exit code.
fn check(host: &Host) -> (String, Option<i32>) {
    let _ = host.run(&["migrate"]).expect_success();
    let checked = host.run(&["check"]);
    let at = checked.stdout.find("target fhir").expect("the target's line");
    let from = checked.stdout[..at].rfind('\n').map_or(0, |end| end + 1);
    (checked.stdout[from..].to_owned(), checked.status)
}

#[test]
fn wrong_credentials_are_a_problem_of_the_check() {
    let (_server, url) = SmallFhir::start();
    let host = Host::new(&configuration(&url, "stranger")).expect("host");
    let (checked, status) = check(&host);
    assert!(checked.starts_with("[PROBLEM] target fhir: "), "{checked}");
    assert!(checked.contains("answered 401: the credentials are wrong, or they may not search Patient"), "{checked}");
    assert!(!checked.contains("secret"), "{checked}");
    assert_eq!(status, Some(4), "{checked}");
}

#[test]
fn a_token_that_may_only_read_is_a_problem_of_the_check() {
    for scope in ["system/Patient.read", "system/Patient.rs system/Observation.r"] {
        let (_server, url) = SmallFhir { scope, ..SmallFhir::default() }.listen();
        let auth = format!(
            "[targets.fhir.http.auth]\ntype = \"oauth2-client-credentials\"\ntoken_url = {}\n\
             client_id = \"c\"\nclient_secret = \"secret\"",
            quoted(&format!("{url}/token"))
        );
        let host = Host::new(&with_auth(&url, &auth)).expect("host");
        let (checked, status) = check(&host);
        assert!(checked.starts_with("[PROBLEM] target fhir: "), "{checked}");
        assert!(checked.contains("granted scopes that only read; let this client write"), "{checked}");
        assert_eq!(status, Some(4), "{checked}");
    }
}

/// A check sends nothing that could write. It reports that, so that its OK is not taken for more than it is.
#[test]
fn a_check_reports_what_it_cannot_test_of_other_credentials() {
    for user in ["reader", "writer"] {
        let (server, url) = SmallFhir::start();
        let (checked, status) = check(&Host::new(&configuration(&url, user)).expect("host"));
        assert!(checked.contains("that we may write shows at the first delivery"), "{checked}");
        assert_eq!((status, server.records.lock().expect("lock").len()), (Some(0), 0), "{checked}");
    }
}

#[test]
fn read_only_credentials_stop_the_target_and_fail_no_patient() {
    for count in [1, 3] {
        let (server, url) = SmallFhir::start();
        let host = Host::new(&configuration(&url, "reader")).expect("host");
        for number in 0..count {
            put(&host, &patient(&format!("R-{number}")));
        }
        let ended = host.run(&["run", "--until-idle"]);
        assert_eq!(ended.status, Some(1), "{}", ended.stdout);
        let status = host.status();
        assert_eq!(status["targets"]["fhir"]["state"], "down", "{status}");
        let error = status["targets"]["fhir"]["error"].as_str().expect("error");
        assert!(error.contains("the credentials are wrong, or may only read"), "{error}");
        assert_eq!((&status["totals"]["pending"], &status["totals"]["failed"]), (&json!(count), &json!(0)), "{status}");
        assert_eq!(status["recent"][0]["attempts"], 0, "no patient pays: {status}");
        assert!(server.records.lock().expect("lock").is_empty());

        host.configure(&configuration(&url, "writer")).expect("configure");
        let _ = host.run(&["run", "--until-idle"]).expect_success();
        assert_eq!(host.status()["totals"]["done"], count);
        assert_eq!(server.records.lock().expect("lock").len(), count);
    }
}

/// Nothing tells such a refusal from one of a patient until there are too many.
#[test]
fn read_only_credentials_do_not_fail_every_patient_that_arrives_alone() {
    let (server, url) = SmallFhir { reads_the_body_first: true, ..SmallFhir::default() }.listen();
    let host = Host::new(&configuration(&url, "reader")).expect("host");
    let _ = host.run(&["migrate"]).expect_success();
    let mut daemon = host.spawn(&["run"]).expect("start");
    let patience = Duration::from_secs(60);
    for number in 1..=3 {
        put(&host, &patient(&format!("R-{number}")));
        let failed = || host.status()["totals"]["failed"] == number;
        daemon.wait_until("a refused patient", patience, failed).expect("refused");
    }
    put(&host, &patient("R-4"));
    let words = "denies every change, 4 in a row; fix: let its credentials write";
    let is_down = || host.status()["targets"]["fhir"]["error"].as_str().is_some_and(|error| error.contains(words));
    daemon.wait_until("the target is down", patience, is_down).expect("down");
    // From here on a try may carry several, and then the adapter itself sees that every write is refused.
    for number in 5..=6 {
        put(&host, &patient(&format!("R-{number}")));
    }
    assert_eq!(host.status()["totals"]["failed"], 3);
    // Between its tries the target is checked, and then a batch may be under way.
    daemon.wait_until("the others wait", patience, || host.status()["totals"]["pending"] == 3).expect("pending");
    daemon.signal(HostSignal::Terminate).expect("signal");
    let _ = daemon.wait(patience).expect("an end").expect_success();

    host.configure(&configuration(&url, "writer")).expect("configure");
    let _ = host.run(&["retry", "--failed"]).expect_success();
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    assert_eq!(host.status()["totals"]["done"], 6);
    assert_eq!(server.records.lock().expect("lock").len(), 6);
}
