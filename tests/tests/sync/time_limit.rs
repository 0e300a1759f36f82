//! The operator's `[targets.NAME.http] timeout_ms` is the one time limit of a request.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tests::host::{Configuration, Host};

use crate::small_fhir::SmallFhir;
use crate::support::{QUICK, adapter, patient, put};

/// Longer than the default of 10 s, which was once a second, hidden limit of the adapter. Only waiting shows it.
const WORK: Duration = Duration::from_millis(11_000);

#[test]
fn a_fhir_server_is_waited_for_up_to_the_configured_timeout() {
    let (server, url) = SmallFhir { work: WORK, ..SmallFhir::default() }.listen();
    let configuration = Configuration::new("sqlite://.host/host.db")
        .fhir(&adapter("fhir"), &url)
        .more("auth = { type = \"basic\", username = \"writer\", password = \"secret\" }\ntimeout_ms = 60000\n")
        .more(QUICK);
    let host = Host::new(&configuration).expect("host");
    put(&host, &patient("T-1"));
    let ended = host.run(&["run", "--until-idle"]).expect_success();
    assert!(!ended.stderr.contains("not answered"), "{}", ended.stderr);
    assert_eq!(host.status()["totals"]["done"], 1);
    assert_eq!(server.writes.load(Ordering::SeqCst), 1, "it was sent once");
}
