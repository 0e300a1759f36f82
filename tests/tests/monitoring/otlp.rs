//! Traces and metrics as a collector receives them: OTLP over HTTP, decoded by the types of OpenTelemetry itself.

use std::io::{BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use sqlx::Connection as _;
use tests::database::{Database, sqlite_url};
use tests::environment::{Backend, adapter, fixture};
use tests::host::{Configuration, Host};
use tests::marked;
use tests::servers::small_http::read_request;

use super::directory::Directory;
use super::{LIMIT, configuration, patient};

/// What an application wrote with its change.
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A request: its path and its body.
type Request = (String, Vec<u8>);

/// A collector that keeps what it gets.
#[derive(Clone)]
pub(super) struct Collector {
    port: u16,
    bodies: Arc<Mutex<Vec<Request>>>,
}

impl Collector {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("listen");
        let collector = Self { port: listener.local_addr().expect("address").port(), bodies: Arc::default() };
        let serving = collector.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let collector = serving.clone();
                thread::spawn(move || collector.serve(&stream));
            }
        });
        collector
    }

    fn serve(&self, mut stream: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        loop {
            let (head, body) = read_request(&mut reader)?;
            let head = head.to_ascii_lowercase();
            let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
            assert_eq!(field("content-type: "), Some("application/x-protobuf"), "{head}");
            assert_eq!(field("x-tenant: "), Some("ward 7"), "{head}");
            let path = head.split(' ').nth(1)?.to_owned();
            self.bodies.lock().expect("lock").push((path, body));
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").ok()?;
        }
    }

    fn bodies(&self, path: &str) -> Vec<Vec<u8>> {
        let bodies = self.bodies.lock().expect("lock");
        bodies.iter().filter(|(of, _)| of == path).map(|(_, body)| body.clone()).collect()
    }

    fn spans(&self) -> Vec<Span> {
        let decode = |body: Vec<u8>| ExportTraceServiceRequest::decode(body.as_slice()).expect("OTLP");
        let requests = self.bodies("/v1/traces").into_iter().map(decode);
        let scopes = requests.flat_map(|request| request.resource_spans).flat_map(|of_host| of_host.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }

    /// The greatest value of a number with these labels.
    fn number(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let decode = |body: Vec<u8>| ExportMetricsServiceRequest::decode(body.as_slice()).expect("OTLP");
        let requests = self.bodies("/v1/metrics").into_iter().map(decode);
        let scopes = requests.flat_map(|request| request.resource_metrics).flat_map(|of_host| of_host.scope_metrics);
        let metrics = scopes.flat_map(|scope| scope.metrics).filter(|metric| metric.name == name);
        let points = metrics.flat_map(|metric| match metric.data {
            Some(Data::Sum(sum)) => sum.data_points,
            Some(Data::Gauge(gauge)) => gauge.data_points,
            _ => Vec::new(),
        });
        let has = |attributes: &[KeyValue], (name, value): (&str, &str)| text(attributes, name) == Some(value);
        let points = points.filter(|point| labels.iter().all(|label| has(&point.attributes, *label)));
        let number = |value| if let Some(Number::AsDouble(value)) = value { value } else { f64::NAN };
        points.map(|point| number(point.value)).reduce(f64::max)
    }

    /// Everything that came, as text as far as it is text.
    pub(super) fn received(&self) -> String {
        let bodies = self.bodies.lock().expect("lock");
        let texts: Vec<_> =
            bodies.iter().map(|(path, body)| path.clone() + " " + &String::from_utf8_lossy(body)).collect();
        texts.join("\n")
    }

    /// A host that sends everything here, soon.
    pub(super) fn watch(&self, host: Host) -> Host {
        self.watch_some(host).with_variable("OTEL_TRACES_SAMPLER", "always_on")
    }

    /// A host that sends its metrics here, and as many traces as it does without being asked.
    fn watch_some(&self, host: Host) -> Host {
        host.with_variable("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://127.0.0.1:{}", self.port))
            .with_variable("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=ward%207")
            .with_variable("OTEL_BSP_SCHEDULE_DELAY", "100")
            .with_variable("OTEL_METRIC_EXPORT_INTERVAL", "200")
            .with_variable("OTEL_SERVICE_NAME", "sync-of-ward-7")
    }
}

fn text<'a>(attributes: &'a [KeyValue], name: &str) -> Option<&'a str> {
    let value = attributes.iter().find(|pair| pair.key == name)?.value.as_ref()?.value.as_ref()?;
    if let Value::StringValue(text) = value { Some(text) } else { None }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let names = || spans.iter().map(|span| span.name.as_str()).collect::<Vec<_>>();
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no span {name} in {:?}", names()))
}

fn assert_unmarked(what: &str, body: &[u8]) {
    let text = String::from_utf8_lossy(body);
    assert_eq!(marked::found(&marked::patient_marks(), &text), Vec::<&str>::new(), "{what} shows it: {text}");
    assert!(!text.contains(marked::PATIENT_ID), "{what} shows an id: {text}");
}

fn host(directory: &Directory) -> Host {
    let port = tests::servers::process::free_port().expect("a free port");
    let host = Host::new(&configuration(port, &directory.url())).expect("host");
    let _ = host.run(&["migrate"]).expect_success();
    host
}

fn put(host: &Host, patient: &serde_json::Value) {
    std::fs::write(host.folder().join("patient.json"), patient.to_string()).expect("write");
    let _ = host.run(&["patient", "put", "patient.json"]).expect_success();
}

#[tokio::test]
async fn a_collector_sees_each_step_of_a_delivery_linked_with_the_application_and_the_server() {
    let (collector, directory) = (Collector::start(), Directory::start());
    let host = collector.watch(host(&directory));
    put(&host, &marked::patient(marked::PATIENT_ID));
    let url = sqlite_url(&host.folder().join(".host").join("host.db"));
    let mut store = sqlx::SqliteConnection::connect(&url).await.expect("store");
    let set = "UPDATE sync_outbox SET trace_context = ?";
    sqlx::query(set).bind(TRACEPARENT).execute(&mut store).await.expect("update");
    store.close().await.expect("close");
    let mut running = host.spawn(&["run"]).expect("start");
    let has = |name: &str| collector.spans().iter().any(|span| span.name == name);
    running.wait_until("the trace of a batch", LIMIT, || has("process phones") && has("route")).expect("a trace");
    let spans = collector.spans();
    let batch = named(&spans, "process phones");
    assert!(batch.parent_span_id.is_empty(), "{batch:?}");
    assert_eq!(batch.links.len(), 1);
    assert_eq!(hex(&batch.links[0].trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(hex(&batch.links[0].span_id), "00f067aa0ba902b7");
    assert_eq!(text(&batch.attributes, "messaging.destination.name"), Some("phones"));
    for step in ["claim", "adapter", "settle"] {
        let step = named(&spans, step);
        assert_eq!((&step.parent_span_id, &step.trace_id), (&batch.span_id, &batch.trace_id), "{step:?}");
        assert!(batch.start_time_unix_nano <= step.start_time_unix_nano);
        assert!(step.end_time_unix_nano <= batch.end_time_unix_nano);
    }
    let request = named(&spans, "PUT");
    assert_eq!(request.parent_span_id, named(&spans, "adapter").span_id);
    assert_eq!(named(&spans, "fence").parent_span_id, request.span_id);
    assert_eq!(text(&request.attributes, "url.template"), Some("/{}/{}"));
    let expected = format!("traceparent: 00-{}-{}-01", hex(&batch.trace_id), hex(&request.span_id));
    assert!(directory.writes()[0].to_lowercase().contains(&expected), "{expected}: {:?}", directory.writes());

    let done = [("target", "phones"), ("outcome", "done"), ("kind", "none")];
    let delivered = || collector.number("neuronova_deliveries_total", &done);
    running.wait_until("the metrics", LIMIT, || delivered() == Some(1.0)).expect("metrics");
    let service = b"sync-of-ward-7";
    for (path, body) in collector.bodies.lock().expect("lock").iter() {
        assert!(body.windows(service.len()).any(|bytes| bytes == service), "{path} has no name of the service");
        assert_unmarked(path, body);
    }
}

#[tokio::test]
async fn a_collector_sees_each_statement_without_its_values() {
    let collector = Collector::start();
    let target = Database::fresh(Backend::Sqlite).await.expect("database").expect("SQLite is always there");
    target.load_sql(&fixture("openemr/sqlite.sql")).await.expect("tables");
    let configuration = Configuration::new("sqlite://.host/host.db").openemr(&adapter("openemr"), target.url());
    let host = collector.watch(Host::new(&configuration).expect("host"));
    put(&host, &marked::patient(marked::PATIENT_ID));
    let run = host.run(&["run", "--until-idle"]).expect_success();
    assert!(run.stdout.contains("openemr: 1 delivered"), "{}{}", run.stdout, run.stderr);
    // What was left is sent when the host ends.
    let spans = collector.spans();
    let adapter = named(&spans, "adapter");
    let insert = spans.iter().find(|span| {
        text(&span.attributes, "db.query.text").is_some_and(|sql| sql.starts_with("INSERT INTO `patient_data` ("))
    });
    let insert = insert.expect("the statement that makes the chart");
    assert_eq!((insert.name.as_str(), &insert.parent_span_id), ("INSERT", &adapter.span_id));
    assert_eq!(text(&insert.attributes, "db.system.name"), Some("sqlite"));
    assert_eq!(named(&spans, "fence").parent_span_id, adapter.span_id);
    for body in collector.bodies("/v1/traces") {
        assert_unmarked("a span", &body);
    }
}

#[test]
fn one_batch_in_ten_is_traced_unless_a_variable_asks_for_more() {
    const BATCHES: usize = 200;
    let (collector, directory) = (Collector::start(), Directory::start());
    let port = tests::servers::process::free_port().expect("a free port");
    let configuration = configuration(port, &directory.url()).more("\n[targets.phones.limits]\nbatch = 1\n");
    let host = collector.watch_some(Host::new(&configuration).expect("host"));
    let seed = |number: usize| {
        format!(
            "[[patients]]\npatient_id = \"S-{number}\"\nfamily_name = \"Kim\"\ngiven_name = \"A\"\n\
             birth_date = 1980-01-31\ngender = \"male\"\n"
        )
    };
    std::fs::write(host.folder().join("seed.toml"), (0..BATCHES).map(seed).collect::<String>()).expect("write");
    let _ = host.run(&["seed", "seed.toml"]).expect_success();
    let run = host.run(&["run", "--until-idle"]).expect_success();
    assert!(run.stdout.contains(&format!("phones: {BATCHES} delivered")), "{}{}", run.stdout, run.stderr);
    // Twenty are expected. That none is traced, or more than sixty, happens once in a thousand million runs.
    let traced = collector.spans().iter().filter(|span| span.name == "process phones").count();
    assert!((1..=60).contains(&traced), "{traced} of {BATCHES} batches were traced");
}

#[test]
fn a_collector_that_never_answers_delays_no_delivery() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).expect("listen");
    let directory = Directory::start();
    let endpoint = format!("http://{}", silent.local_addr().expect("address"));
    let host = host(&directory)
        .with_variable("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
        .with_variable("OTEL_TRACES_SAMPLER", "always_on");
    put(&host, &patient("O-1"));
    let running = host.spawn(&["run", "--until-idle"]).expect("start");
    let run = running.wait(Duration::from_secs(60)).expect("it ends");
    assert!(run.status == Some(0) && run.stdout.contains("phones: 1 delivered"), "{}{}", run.stdout, run.stderr);
}

#[test]
fn a_variable_that_cannot_be_obeyed_is_an_error_before_anything_is_delivered() {
    let directory = Directory::start();
    let host = host(&directory)
        .with_variable("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
        .with_variable("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    put(&host, &patient("O-2"));
    let run = host.run(&["run", "--until-idle"]);
    assert_eq!(run.status, Some(3), "{}", run.stderr);
    assert!(run.stderr.contains("OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf"), "{}", run.stderr);
    assert!(directory.writes().is_empty());
}
