//! What monitoring costs: a drain whose metrics and status are asked for once a second, against one of a host that
//! listens nowhere; and all that watches a host at once, against nothing of it. Every host counts: counting cannot be
//! switched off, and its cost is part of every other row.

use std::io::{BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::measure::{Options, rate};
use super::report::{Better, Goal, Row};
use super::stand::{Stand, Work};
use crate::environment::Backend;
use crate::http_client::client;
use crate::servers::process::free_port;
use crate::servers::small_http::read_request;

/// Often for Prometheus, whose own default is a minute.
const SCRAPE_EVERY: Duration = Duration::from_secs(1);

const STORES_AND_TARGETS: [(Backend, Backend); 3] =
    [(Backend::MariaDb, Backend::MariaDb), (Backend::Postgres, Backend::MariaDb), (Backend::Sqlite, Backend::Sqlite)];
const STARTED_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What is on in the host that is measured, and off in the one that it is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watching {
    /// Metrics and status are read each second.
    Metrics,
    /// That, the journal, all alerts, and traces and metrics sent to a collector.
    Everything,
}

/// Every condition, looked at each second instead of each 15.
const ALERTS: &str = "
[alerts]
look_every = \"1s\"
target_down = \"5m\"
pending_age = \"30m\"
failed = 100
failed_per_hour = 20
conflicts = 1
leases_lost_per_hour = 20
disk_free_mib = 1
expiry_days = 21
host_missing = \"5m\"
silence = [{ after = \"2h\", type = \"patient\" }]
";

/// The rows of creates.
pub(super) async fn rows(options: &Options) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (store, target) in STORES_AND_TARGETS {
        for watching in [Watching::Metrics, Watching::Everything] {
            rows.push(Box::pin(row(options, (store, target), watching)).await?);
        }
    }
    Ok(rows)
}

async fn row(options: &Options, (store, target): (Backend, Backend), watching: Watching) -> Result<Row> {
    let count = options.sized(10_000, 50_000);
    let collector = format!("http://127.0.0.1:{}", collector()?);
    let (mut ours, mut baseline) = (Vec::new(), Vec::new());
    for _ in 0..options.repeats() {
        let mut unseen = match watching {
            Watching::Metrics => Stand::new(store, target).await?,
            Watching::Everything => Stand::without_journal(store, target).await?,
        };
        unseen.fill(count, Work::Creates).await?;
        baseline.push(rate(count, unseen.host_drain().await?.elapsed));

        let mut watched = match watching {
            Watching::Metrics => Stand::new(store, target).await?,
            Watching::Everything => {
                let more = format!(
                    "{ALERTS}\n[alerts.webhook]\nurl = \"{collector}\"\nsecret = \"bench\"\nallow_private = true\n"
                );
                let mut stand = Stand::configured(store, target, &more).await?;
                stand.host = stand.host.with_variable("OTEL_EXPORTER_OTLP_ENDPOINT", &collector);
                stand
            }
        };
        let port = free_port()?;
        watched.listen(port)?;
        watched.fill(count, Work::Creates).await?;
        let scraping = tokio::spawn(scrape(client()?, port));
        ours.push(rate(count, watched.host_drain().await?.elapsed));
        // It goes on until the host is gone.
        ensure!(scraping.await? > 0, "the metrics could not be read");
    }
    let (what, against) = match watching {
        Watching::Metrics => ("metrics read each second", "a host that listens nowhere"),
        Watching::Everything => ("journal, metrics, alerts and a collector", "a host with all of that off"),
    };
    Ok(Row {
        name: format!("telemetry, {} to {}, {what}", store.name(), target.name()),
        unit: "patients/s",
        ours,
        baseline,
        against,
        better: Better::More,
        goal: Goal::ratio(0.97),
    })
}

/// A collector of traces and metrics that takes everything and keeps nothing; gives its port.
fn collector() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || take_all(&stream));
        }
    });
    Ok(port)
}

fn take_all(mut stream: &TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    while read_request(&mut reader).is_some() {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
    }
    Ok(())
}

/// Asks again and again, from when the host listens until it is gone. Returns how often both were answered.
async fn scrape(client: reqwest::Client, port: u16) -> usize {
    let get = |path: &str| client.get(format!("http://127.0.0.1:{port}{path}")).send();
    for _ in 0..STARTED_WITHIN.as_millis() / LOOK_EVERY.as_millis() {
        if get("/livez").await.is_ok() {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let mut answered = 0;
    while let (Ok(metrics), Ok(status)) = (get("/metrics").await, get("/status.json").await) {
        let is_whole = metrics.text().await.is_ok_and(|text| text.contains("neuronova_deliveries_total"));
        answered += usize::from(is_whole && status.status().is_success());
        tokio::time::sleep(SCRAPE_EVERY).await;
    }
    answered
}
