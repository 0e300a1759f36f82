//! The alert of a certificate that ends, where a server shows it: of databases with and without TLS, of the webhook and
//! of mail.

use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use rustls::pki_types::PrivatePkcs8KeyDer;
use tests::database::Database;
use tests::environment::{Backend, adapter};
use tests::host::{Configuration, Host, quoted};
use tests::servers::{MailServer, MariaDb, Postgres};

use super::LIMIT;
use super::alerts::alerts;

/// A certificate that ends in five days, and its key.
fn ending_soon() -> (rcgen::Certificate, rcgen::KeyPair) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut parameters = rcgen::CertificateParams::new(vec!["another.example".to_owned()]).expect("a name");
    parameters.not_after = (SystemTime::now() + Duration::from_hours(5 * 24)).into();
    (parameters.self_signed(&key).expect("a certificate"), key)
}

/// A web server that shows a certificate and takes no message. Returns its port.
fn web_server((certificate, key): &(rcgen::Certificate, rcgen::KeyPair)) -> u16 {
    drop(rustls::crypto::ring::default_provider().install_default());
    let private = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let tls = rustls::ServerConfig::builder().with_no_client_auth();
    let tls = Arc::new(tls.with_single_cert(vec![certificate.der().clone()], private).expect("a certificate"));
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("listen");
    let port = listener.local_addr().expect("address").port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut connection = rustls::ServerConnection::new(Arc::clone(&tls)).expect("a connection");
            // A client that goes away ends only its own connection.
            drop(connection.complete_io(&mut stream));
        }
    });
    port
}

/// A host with this store and one target, whose alerts are those of certificates.
fn configuration(store: &Database, target: &Database, more: &str) -> Configuration {
    Configuration::new(store.url()).more(&format!(
        "\n[targets.chart]\nadapter = {}\n[targets.chart.database]\nurl = {}\nallow = {{ read = [\"*\"] }}\n\
         [alerts]\nlook_every = \"1s\"\nexpiry_days = 21\n{more}",
        quoted(&adapter("example-chart").to_string_lossy()),
        quoted(target.url())
    ))
}

/// The kinds, targets and subjects of the alerts of a host, as soon as there are so many.
fn raised(configuration: &Configuration, count: usize) -> Vec<[String; 3]> {
    let host = Host::new(configuration).expect("host").with_variable("WEBHOOK_SECRET", "a secret");
    let _ = host.run(&["migrate"]).expect_success();
    let mut running = host.spawn(&["run"]).expect("start");
    running.wait_until("alerts are raised", LIMIT, || alerts(&host, &[]).len() >= count).expect("alerts are raised");
    let part = |alert: &serde_json::Value, name: &str| alert[name].as_str().expect(name).to_owned();
    let parts = |alert: &serde_json::Value| ["kind", "target", "subject"].map(|name| part(alert, name));
    let mut raised: Vec<_> = alerts(&host, &[]).iter().map(parts).collect();
    raised.sort();
    raised
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_a_database_server_that_ends_soon_raises_an_alert() {
    if Backend::MariaDb.url().is_none() || Backend::Postgres.url().is_none() {
        return;
    }
    let (certificate, key) = ending_soon();
    let (certificate, key) = (certificate.pem(), key.serialize_pem());
    let mariadb = MariaDb::start_with_tls(&certificate, &key).expect("MariaDB");
    let postgres = Postgres::start_with_tls(&certificate, &key).expect("PostgreSQL");
    let one = Database::fresh_on(Backend::MariaDb, &mariadb.url()).await.expect("database");
    let other = Database::fresh_on(Backend::Postgres, &postgres.url()).await.expect("database");
    for (store, target) in [(&one, &other), (&other, &one)] {
        assert_eq!(
            raised(&configuration(store, target, ""), 2),
            [
                ["expiring", "", "the certificate of the store's server"],
                ["expiring", "chart", "the certificate of target chart's server"],
            ],
            "store: {:?}",
            store.backend()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_of_webhook_and_mail_raise_alerts_and_databases_without_tls_raise_none() {
    let Some(store) = Database::fresh(Backend::MariaDb).await.expect("store") else { return };
    let Some(target) = Database::fresh(Backend::Postgres).await.expect("target") else { return };
    let ending = ending_soon();
    let (certificate, key) = (ending.0.pem(), ending.1.serialize_pem());
    let mail = MailServer::start(&certificate, &key, "sync", "right").expect("a mail server");
    let channels = format!(
        "[alerts.webhook]\nurl = \"https://127.0.0.1:{}/hook\"\nsecret = \"${{WEBHOOK_SECRET}}\"\n\
         allow_private = true\ntimeout_ms = 4000\n\
         [alerts.smtp]\nserver = \"localhost\"\nport = {}\nfrom = \"sync@hospital.example\"\n\
         to = [\"night@hospital.example\"]\n",
        web_server(&ending),
        mail.port()
    );
    assert_eq!(
        raised(&configuration(&store, &target, &channels), 2),
        [
            ["expiring", "", "the certificate of the mail server"],
            ["expiring", "", "the certificate of the webhook's server"],
        ]
    );
}
