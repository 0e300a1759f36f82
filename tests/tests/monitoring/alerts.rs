//! Alerts as people get them: raised once, repeated, acknowledged and ended, over a webhook and by mail, also when the
//! host that sends is killed.

use tests::database::Database;
use tests::environment::{Backend, adapter};
use tests::host::{Configuration, Host, RunningHost, quoted};
use tests::marked;
use tests::servers::MailServer;
use tests::servers::process::free_port;

use super::directory::{Answer, Directory};
use super::receiver::Receiver;
use super::{LIMIT, value};

pub(super) const SECRET: &str = "the secret of the webhook";

/// A target of patients over HTTP, and alerts that look each second.
pub(super) fn configuration(store_url: &str, directory: &Directory, more: &str) -> Configuration {
    Configuration::new(store_url).more(&format!(
        "\n[targets.phones]\nadapter = {}\n[targets.phones.http]\nbase_url = {}\nallow_private = true\nin_doubt_ms = 0\n\
         [sync]\npoll_interval_ms = 20\n[sync.breaker]\nopen_ms = 100\ncap_ms = 300\n\
         [sync.retry]\nbase_ms = 10\ncap_ms = 50\nattempts_max = 2\n\
         [alerts]\nlook_every = \"1s\"\nrepeat = \"1s\"\ntarget_down = \"1s\"\nfailed = 1\n{more}",
        quoted(&adapter("example-directory").to_string_lossy()),
        quoted(&directory.url())
    ))
}

pub(super) fn webhook(receiver: &Receiver) -> String {
    format!(
        "[alerts.webhook]\nurl = {}\nsecret = \"${{WEBHOOK_SECRET}}\"\nallow_private = true\ntimeout_ms = 4000\n",
        quoted(&receiver.url())
    )
}

pub(super) fn host(configuration: &Configuration) -> Host {
    let host = Host::new(configuration).expect("host").with_variable("WEBHOOK_SECRET", SECRET);
    let _ = host.run(&["migrate"]).expect_success();
    host
}

pub(super) fn put(host: &Host, id: &str) {
    std::fs::write(host.folder().join("patient.json"), marked::patient(id).to_string()).expect("write");
    let _ = host.run(&["patient", "put", "patient.json"]).expect_success();
}

pub(super) fn alerts(host: &Host, more: &[&str]) -> Vec<serde_json::Value> {
    let listed = host.run(&[&["alerts", "list", "--json"], more].concat()).expect_success().json();
    listed["alerts"].as_array().expect("a list").clone()
}

pub(super) fn wait(running: &mut RunningHost, what: &str, condition: impl FnMut() -> bool) {
    running.wait_until(what, LIMIT, condition).expect(what);
}

async fn an_alert_is_raised_once_repeated_acknowledged_and_ended(backend: Backend) {
    let Some(store) = Database::fresh(backend).await.expect("store") else { return };
    let (directory, receiver, port) = (Directory::start(), Receiver::start(SECRET), free_port().expect("a port"));
    directory.answer(Answer::Down);
    let configuration = configuration(store.url(), &directory, &webhook(&receiver));
    let hosts = [host(&configuration.clone().listening(port)), host(&configuration)];
    put(&hosts[0], "P-marked");
    let mut running: Vec<_> = hosts.iter().map(|host| host.spawn(&["run"]).expect("start")).collect();
    wait(&mut running[0], "it is repeated twice", || receiver.count("repeated") >= 2);
    assert_eq!(receiver.count("raised"), 1, "{:#?}", receiver.received());
    let raised = &receiver.received()[0];
    assert_eq!(
        (raised["alert"]["kind"].as_str(), raised["alert"]["target"].as_str()),
        (Some("target-down"), Some("phones"))
    );

    let status = hosts[0].run(&["status"]).expect_success().stdout;
    assert!(status.contains("\n[Alerts]\n") && status.contains("target-down: target phones has been down"), "{status}");
    let open = || value(&super::get(port, "/metrics")?.1, "neuronova_alerts_open{kind=\"target-down\"}");
    wait(&mut running[0], "the metric shows it", || open() == Some(1.0));

    let acknowledge = ["alerts", "ack", "--target", "phones", "--reason", "the network is worked on", "--as", "kim"];
    let told = hosts[1].run(&acknowledge).expect_success().stdout;
    assert_eq!(told, "1 alert is acknowledged: nothing more is sent until the end\n");
    assert_eq!(alerts(&hosts[0], &[])[0]["acknowledged_by"], "kim");
    assert_eq!(hosts[1].run(&acknowledge).status, Some(1), "it is acknowledged already");
    let audited = hosts[0].run(&["audit", "list", "--action", "alerts ack"]).expect_success().stdout;
    assert!(audited.contains("the network is worked on") && audited.contains("phones"), "{audited}");

    // One may have been on its way.
    let before = receiver.count("repeated") + 1;
    directory.answer(Answer::Takes);
    wait(&mut running[0], "it has ended", || receiver.count("ended") == 1);
    assert!(receiver.count("repeated") <= before, "an acknowledged alert is not repeated");
    assert_eq!(receiver.count("raised"), 1);
    assert_eq!(alerts(&hosts[0], &[]), Vec::<serde_json::Value>::new());
    assert_eq!(alerts(&hosts[0], &["--all"]).len(), 1);
    wait(&mut running[0], "the metric shows its end", || open() == Some(0.0));

    directory.answer(Answer::Refuses);
    put(&hosts[0], "P-other");
    wait(&mut running[0], "the failure is raised", || receiver.count("raised") == 2);
    let failed = receiver.received().into_iter().rfind(|message| message["event"] == "raised").expect("the last");
    assert_eq!(failed["alert"]["example"], "P-other", "the id, and nothing else of a patient");
    let logs: String = running.iter().map(RunningHost::stderr).collect();
    let (marks, messages) = (marked::patient_marks(), format!("{:?}", receiver.received()));
    assert_eq!(marked::found(&marks, &messages), Vec::<&str>::new(), "{messages}");
    assert_eq!(marked::found(&marks, &logs), Vec::<&str>::new(), "{logs}");
    assert!(!logs.contains(SECRET) && !logs.contains("of-the-url"), "{logs}");
    assert_eq!(receiver.refused(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_has_its_course_on_sqlite() {
    an_alert_is_raised_once_repeated_acknowledged_and_ended(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_has_its_course_on_mariadb() {
    an_alert_is_raised_once_repeated_acknowledged_and_ended(Backend::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_has_its_course_on_postgres() {
    an_alert_is_raised_once_repeated_acknowledged_and_ended(Backend::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_while_it_sends_is_followed_by_another() {
    let Some(store) = Database::fresh(Backend::Sqlite).await.expect("store") else { return };
    let (directory, receiver) = (Directory::start(), Receiver::start(SECRET));
    directory.answer(Answer::Down);
    receiver.hang(true);
    let configuration = configuration(store.url(), &directory, &webhook(&receiver));
    let (killed, other) = (host(&configuration), host(&configuration));
    let mut running = killed.spawn(&["run"]).expect("start");
    wait(&mut running, "it is sending", || receiver.count("raised") == 1);
    running.kill();
    assert_eq!(alerts(&other, &[])[0]["channels"][0]["sends"], 0, "nobody knows whether it arrived");
    receiver.hang(false);
    let mut running = other.spawn(&["run"]).expect("start");
    wait(&mut running, "the other one has sent it", || alerts(&other, &[])[0]["channels"][0]["sends"] != 0);
    let raised: Vec<_> = receiver.received().into_iter().filter(|message| message["event"] == "raised").collect();
    assert_eq!(raised.len(), 2, "at least once: {raised:#?}");
    assert_eq!(raised[0]["message_id"], raised[1]["message_id"], "a receiver can tell");
}

#[test]
fn a_channel_that_fails_is_shown_and_tried_again() {
    let (directory, receiver) = (Directory::start(), Receiver::start("another secret"));
    directory.answer(Answer::Down);
    let port = free_port().expect("a port");
    let configuration = configuration("sqlite://.host/host.db", &directory, &webhook(&receiver)).listening(port);
    let host = host(&configuration);
    let tested = host.run(&["alerts", "test"]);
    assert_eq!(tested.status, Some(1), "{}", tested.stdout);
    assert!(
        tested.stdout.contains("webhook: http://127.0.0.1:") && !tested.stdout.contains("of-the-url"),
        "{}",
        tested.stdout
    );
    assert!(tested.stdout.ends_with("the server answered 403 Forbidden\n"), "{}", tested.stdout);
    let mut running = host.spawn(&["run"]).expect("start");
    let failures = || alerts(&host, &[])[0]["channels"][0]["failures"].as_i64();
    wait(&mut running, "it is raised", || !alerts(&host, &[]).is_empty());
    wait(&mut running, "it was tried twice", || failures() >= Some(2));
    let listed = host.run(&["alerts", "list"]).expect_success().stdout;
    assert!(listed.contains("attempts failed: the server answered 403 Forbidden"), "{listed}");
    let series = "neuronova_alert_messages_total{channel=\"webhook\",outcome=\"failed\"}";
    let failed = || value(&super::get(port, "/metrics")?.1, series);
    wait(&mut running, "the metric counts it", || failed() >= Some(2.0));
    assert!(running.stderr().contains("cannot send alert; trying again"), "{}", running.stderr());
}

#[test]
fn mails_of_an_alert_arrive_with_a_login_over_starttls() {
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let certificate = certificate.self_signed(&key).expect("a certificate").pem();
    let server = MailServer::start(&certificate, &key.serialize_pem(), "sync", "right").expect("a mail server");
    let directory = Directory::start();
    let smtp = format!(
        "[alerts.smtp]\nserver = \"localhost\"\nport = {}\nca_file = \"ca.pem\"\nuser = \"sync\"\n\
         password_file = \"password\"\nfrom = \"NeuroNova Sync <sync@hospital.example>\"\n\
         to = [\"night@hospital.example\"]\n",
        server.port()
    );
    // The files are there before a command reads the configuration.
    let host = Host::new(&Configuration::new("sqlite://.host/host.db")).expect("host");
    std::fs::write(host.folder().join("ca.pem"), &certificate).expect("write");
    std::fs::write(host.folder().join("password"), "wrong\n").expect("write");
    host.configure(&configuration("sqlite://.host/host.db", &directory, &smtp)).expect("configure");
    let wrong = host.run(&["alerts", "test"]);
    assert!(wrong.status == Some(1) && wrong.stdout.contains("(535)"), "{}{}", wrong.stdout, wrong.stderr);
    assert!(!wrong.stdout.contains("wrong"), "{}", wrong.stdout);
    std::fs::write(host.folder().join("password"), "right\n").expect("write");
    let right = host.run(&["alerts", "test"]).expect_success().stdout;
    assert_eq!(right, format!("[OK] smtp: localhost:{} answered 250 kept\n", server.port()));
    let mails = || server.mails().expect("mails");
    assert!(mails()[0].contains("Subject: NeuroNova Sync: test message of "), "{}", mails()[0]);

    directory.answer(Answer::Down);
    let mut running = host.spawn(&["run"]).expect("start");
    wait(&mut running, "it is raised", || mails().len() > 1);
    directory.answer(Answer::Takes);
    wait(&mut running, "it has ended", || mails().last().is_some_and(|mail| mail.contains("\r\nended after ")));
    let mails = mails();
    let header = |mail: &str, name: &str| mail.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
    let first = header(&mails[1], "Message-ID: ").expect("an id");
    let last = mails.last().expect("the last");
    assert_eq!(header(last, "References: "), Some(first), "one thread");
    assert!(mails[1].contains("target phones has been down for "), "{}", mails[1]);
}
