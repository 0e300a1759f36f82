//! Alerts of hosts whose configuration is read again while they run, or that were started again without `[alerts]`.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use tests::database::Database;
use tests::environment::Backend;
use tests::host::{Configuration, Host, HostSignal, RunningHost};

use super::LIMIT;
use super::alerts::{SECRET, alerts, configuration, host, put, wait, webhook};
use super::directory::{Answer, Directory};
use super::receiver::Receiver;

const STORE: &str = "sqlite://.host/host.db";

/// Writes the file, asks the host to read it, and waits until it has.
fn reload(host: &Host, running: &mut RunningHost, text: &str) {
    const RELOADED: &str = "adapter files are loaded again";
    let before = running.stderr().matches(RELOADED).count();
    std::fs::write(host.folder().join("host.toml"), text).expect("write");
    running.signal(HostSignal::Hangup).expect("signal");
    running.wait_for_log_times(RELOADED, before + 1, LIMIT).expect("reloaded");
}

/// The same without `[alerts]`, which comes last.
fn without_alerts(configuration: &Configuration) -> String {
    configuration.text().split("[alerts]").next().expect("a beginning").to_owned()
}

fn kinds(host: &Host) -> Vec<String> {
    alerts(host, &[]).iter().map(|alert| alert["kind"].as_str().expect("a word").to_owned()).collect()
}

/// An access token that ends in so many days.
fn token(days: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let claims = serde_json::json!({ "exp": now + days * 86_400 }).to_string();
    format!("e30.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(claims))
}

#[test]
fn a_changed_threshold_and_another_channel_count_from_the_reload_on() {
    let (directory, one, other) = (Directory::start(), Receiver::start(SECRET), Receiver::start(SECRET));
    directory.answer(Answer::Down);
    let with = |threshold: &str, receiver: &Receiver| {
        let text = configuration(STORE, &directory, &webhook(receiver)).text().to_owned();
        text.replace("target_down = \"1s\"", &format!("target_down = \"{threshold}\""))
    };
    let host = host(&configuration(STORE, &directory, &webhook(&one)));
    std::fs::write(host.folder().join("host.toml"), with("1h", &one)).expect("write");
    put(&host, "P-1");
    let mut running = host.spawn(&["run"]).expect("start");
    running.wait_for_log("target is down", LIMIT).expect("down");
    let until = Instant::now() + Duration::from_secs(3);
    wait(&mut running, "it is down for longer than the next threshold", || Instant::now() >= until);
    assert_eq!(kinds(&host), Vec::<String>::new(), "an hour has not passed");

    reload(&host, &mut running, &with("1s", &one));
    wait(&mut running, "the lower threshold raises it", || one.count("raised") == 1);
    reload(&host, &mut running, &with("1s", &other));
    wait(&mut running, "the other receiver gets it", || !other.received().is_empty());
    let before = one.received().len();
    wait(&mut running, "it is repeated there", || other.count("repeated") >= 3);
    assert_eq!(one.received().len(), before, "the first receiver is no longer named");
    reload(&host, &mut running, &with("1h", &other));
    wait(&mut running, "the higher threshold ends it", || other.count("ended") == 1);
    assert_eq!((one.count("raised"), other.count("raised")), (1, 0));
}

#[test]
fn after_a_reload_of_a_target_its_new_token_is_looked_at() {
    let (directory, receiver) = (Directory::start(), Receiver::start(SECRET));
    let with = |file: &str| {
        let more = format!("expiry_days = 21\n{}", webhook(&receiver));
        let text = configuration(STORE, &directory, &more).text().to_owned();
        let auth = format!("in_doubt_ms = 0\nauth = {{ type = \"bearer\", token_file = \"{file}\" }}\n");
        text.replace("in_doubt_ms = 0\n", &auth)
    };
    let host = host(&configuration(STORE, &directory, &webhook(&receiver)));
    for (file, days) in [("old.token", 2), ("new.token", 200)] {
        std::fs::write(host.folder().join(file), token(days)).expect("write");
    }
    std::fs::write(host.folder().join("host.toml"), with("old.token")).expect("write");
    let mut running = host.spawn(&["run"]).expect("start");
    wait(&mut running, "the old token ends soon", || kinds(&host) == ["expiring"]);
    // Nothing of `[alerts]` has changed.
    reload(&host, &mut running, &with("new.token"));
    wait(&mut running, "the new one does not", || kinds(&host).is_empty());
    reload(&host, &mut running, &with("old.token"));
    wait(&mut running, "the old one does", || kinds(&host) == ["expiring"]);
}

/// A host that began to watch anew with each reload would never find it.
#[test]
fn reloads_do_not_end_the_watch_for_silence() {
    let (directory, receiver) = (Directory::start(), Receiver::start(SECRET));
    let silence = format!("[[alerts.silence]]\ntype = \"encounter\"\nafter = \"5s\"\n{}", webhook(&receiver));
    let configuration = configuration(STORE, &directory, &silence);
    let host = host(&configuration);
    let mut running = host.spawn(&["run"]).expect("start");
    running.wait_for_log("target is up", LIMIT).expect("up");
    let begun = Instant::now();
    while kinds(&host) != ["silence"] {
        assert!(begun.elapsed() < LIMIT, "{}", running.stderr());
        let until = Instant::now() + Duration::from_secs(1);
        wait(&mut running, "a look", || Instant::now() >= until);
        reload(&host, &mut running, configuration.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_end_once_the_last_host_that_looks_has_lost_the_table() {
    let store = Database::fresh(Backend::Sqlite).await.expect("store").expect("SQLite is always there");
    let (directory, receiver) = (Directory::start(), Receiver::start(SECRET));
    directory.answer(Answer::Down);
    let configuration = configuration(store.url(), &directory, &webhook(&receiver));
    let hosts = [host(&configuration), host(&configuration)];
    put(&hosts[0], "P-1");
    let mut running: Vec<_> = hosts.iter().map(|host| host.spawn(&["run"]).expect("start")).collect();
    for running in &mut running {
        running.wait_for_log("target is down", LIMIT).expect("down");
    }
    wait(&mut running[0], "it is raised", || kinds(&hosts[0]) == ["target-down"]);
    reload(&hosts[0], &mut running[0], &without_alerts(&configuration));
    // Long after the first host would have ended it.
    let before = receiver.count("repeated");
    wait(&mut running[1], "the other host repeats it", || receiver.count("repeated") >= before + 8);
    assert_eq!(kinds(&hosts[1]), ["target-down"], "the other host still sees it");
    reload(&hosts[1], &mut running[1], &without_alerts(&configuration));
    wait(&mut running[1], "it has ended", || kinds(&hosts[1]).is_empty());
    assert_eq!(receiver.count("ended"), 0, "there is no channel any more");
    assert!(!hosts[0].run(&["status"]).expect_success().stdout.contains("[Alerts]"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_the_table_ends_what_no_host_has_seen_for_hours() {
    let store = Database::fresh(Backend::Sqlite).await.expect("store").expect("SQLite is always there");
    let (directory, receiver) = (Directory::start(), Receiver::start(SECRET));
    directory.answer(Answer::Down);
    let configuration = configuration(store.url(), &directory, &webhook(&receiver));
    let host = host(&configuration);
    put(&host, "P-1");
    let mut running = host.spawn(&["run"]).expect("start");
    wait(&mut running, "it is raised", || kinds(&host) == ["target-down"]);
    running.kill();
    // One was seen four hours ago, one two hours ago.
    for sql in [
        "INSERT INTO sync_alert (kind, target, subject, sentence, raised_at, seen_at) \
         SELECT 'disk', '', 'here', 'here has 1 MiB free', raised_at, seen_at - 7200000 FROM sync_alert",
        "UPDATE sync_alert SET seen_at = seen_at - 14400000 WHERE kind = 'target-down'",
    ] {
        store.execute(sql).await.expect("earlier");
    }
    std::fs::write(host.folder().join("host.toml"), without_alerts(&configuration)).expect("write");
    let mut running = host.spawn(&["run"]).expect("start");
    let ended = || kinds(&host) == ["disk"];
    running.wait_until("the older one has ended", 2 * LIMIT, ended).expect("ended");
    assert!(running.stderr().contains("no host looks for them any more"), "{}", running.stderr());
}
