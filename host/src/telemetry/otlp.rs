//! Sends traces and metrics to an OpenTelemetry collector (OTLP over HTTP, protobuf), when the standard variables name
//! one: `OTEL_EXPORTER_OTLP_ENDPOINT`, or the one of a signal. Without them nothing is made here, and nothing is sent.
//!
//! Sending is no part of delivering: what cannot be sent in time is lost, and only logged at the level `debug`.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use opentelemetry::{KeyValue, global};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::meters::Meters;
use super::{otlp_metrics, trace};

/// Of batches one in so many is traced, unless `OTEL_TRACES_SAMPLER` is set.
const SAMPLED_RATIO: f64 = 0.1;
/// How often metrics are sent, unless `OTEL_METRIC_EXPORT_INTERVAL` is set.
const METRICS_EVERY: Duration = Duration::from_secs(60);
/// How long a stopping host waits until the last spans are sent.
const LAST_SPANS: Duration = Duration::from_secs(3);
/// How long sending may take, unless `OTEL_EXPORTER_OTLP_TIMEOUT` is set.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// The variables that name a protocol, of all signals and of one.
const PROTOCOLS: [&str; 3] =
    ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL"];

/// The variables of the environment by their names.
type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What a host sends, and where.
pub struct Otlp {
    spans: Option<SdkTracerProvider>,
    metrics: Option<MetricsSender>,
}

/// Sends the metrics again and again.
struct MetricsSender {
    client: Client,
    url: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    every: Duration,
    resource: Vec<KeyValue>,
}

/// Why the variables cannot be obeyed. They are named, and their values not shown: a header may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    #[error("{0} must be http/protobuf: this host speaks no other protocol")]
    Protocol(&'static str),
    #[error("{variable} cannot be used: {reason}")]
    Variable { variable: &'static str, reason: String },
    #[error("cannot make the client for traces and metrics: {0}")]
    Client(String),
}

impl Otlp {
    /// What the environment asks for; `None` when it names no endpoint.
    ///
    /// # Errors
    /// When a variable cannot be obeyed.
    pub fn from_environment() -> Result<Option<Self>, OtlpError> {
        Self::from_variables(&|name| std::env::var(name).ok().filter(|value| !value.trim().is_empty()))
    }

    fn from_variables(variable: Variable<'_>) -> Result<Option<Self>, OtlpError> {
        if variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let traces = wanted(variable, "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
        let metrics = wanted(variable, "OTEL_METRICS_EXPORTER", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT");
        if !traces && !metrics {
            return Ok(None);
        }
        for name in PROTOCOLS {
            if variable(name).is_some_and(|value| value != "http/protobuf") {
                return Err(OtlpError::Protocol(name));
            }
        }
        let client = Client::new(variable)?;
        let resource = resource(variable);
        let spans = if traces { Some(span_provider(client.clone(), resource.clone(), variable)?) } else { None };
        let metrics = if metrics { Some(MetricsSender::new(client, &resource, variable)?) } else { None };
        Ok(Some(Self { spans, metrics }))
    }

    /// Sends until `stop`, and then the rest.
    pub async fn run(self, meters: Arc<Meters>, stop: CancellationToken) {
        if let Some(provider) = &self.spans {
            global::set_tracer_provider(provider.clone());
            trace::switch_on();
        }
        match &self.metrics {
            Some(metrics) => metrics.run(&meters, &stop).await,
            None => stop.cancelled().await,
        }
        if let Some(provider) = self.spans {
            let ended = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(LAST_SPANS)).await;
            if let Ok(Err(error)) = ended {
                tracing::debug!(%error, "cannot send the last spans");
            }
        }
    }
}

/// Whether a signal is to be sent: it has an endpoint, and its exporter is not another one or none.
fn wanted(variable: Variable<'_>, exporter: &str, endpoint: &str) -> bool {
    let has_endpoint = [endpoint, "OTEL_EXPORTER_OTLP_ENDPOINT"].iter().any(|name| variable(name).is_some());
    has_endpoint && variable(exporter).is_none_or(|value| value.split(',').any(|name| name.trim() == "otlp"))
}

fn resource(variable: Variable<'_>) -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let builder = Resource::builder().with_attribute(version);
    match variable("OTEL_SERVICE_NAME") {
        // The builder has read it.
        Some(_) => builder.build(),
        None => builder.with_service_name("neuronova-host").build(),
    }
}

fn span_provider(client: Client, resource: Resource, variable: Variable<'_>) -> Result<SdkTracerProvider, OtlpError> {
    let exporter = SpanExporter::builder().with_http().with_http_client(client).build();
    // The error may repeat the address, which may hold a password.
    let exporter = exporter.map_err(|_| OtlpError::Variable {
        variable: "OTEL_EXPORTER_OTLP_ENDPOINT",
        reason: "it, or the one of traces, is not the URL of a collector over HTTP".to_owned(),
    })?;
    let builder = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource);
    // The builder has read the variable.
    if variable("OTEL_TRACES_SAMPLER").is_some() {
        return Ok(builder.build());
    }
    let ratio = Sampler::TraceIdRatioBased(SAMPLED_RATIO);
    Ok(builder.with_sampler(Sampler::ParentBased(Box::new(ratio))).build())
}

impl MetricsSender {
    fn new(client: Client, resource: &Resource, variable: Variable<'_>) -> Result<Self, OtlpError> {
        let of_all = || {
            let base = variable("OTEL_EXPORTER_OTLP_ENDPOINT").unwrap_or_default();
            format!("{}/v1/metrics", base.trim_end_matches('/'))
        };
        let url = variable("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT").unwrap_or_else(of_all);
        if reqwest::Url::parse(&url).is_err() {
            let reason = "it is not a URL".to_owned();
            return Err(OtlpError::Variable { variable: "OTEL_EXPORTER_OTLP_ENDPOINT", reason });
        }
        let every = variable("OTEL_METRIC_EXPORT_INTERVAL").and_then(|millis| millis.trim().parse().ok());
        let resource = resource.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
        Ok(Self {
            client,
            url,
            headers: headers(variable)?,
            every: every.map_or(METRICS_EVERY, Duration::from_millis),
            resource,
        })
    }

    async fn run(&self, meters: &Meters, stop: &CancellationToken) {
        let started = SystemTime::now();
        loop {
            let stopping = stop.run_until_cancelled(tokio::time::sleep(self.every)).await.is_none();
            let exposition = meters.exposition().await;
            let body = otlp_metrics::request(&exposition, &self.resource, (started, SystemTime::now()));
            if let Err(error) = self.send(body).await {
                tracing::debug!(%error, "cannot send metrics");
            }
            if stopping {
                return;
            }
        }
    }

    async fn send(&self, body: Vec<u8>) -> Result<(), HttpError> {
        let mut request = Request::post(&self.url).header(CONTENT_TYPE, "application/x-protobuf").body(body.into())?;
        request.headers_mut().extend(self.headers.iter().cloned());
        let answer = self.client.send_bytes(request).await?;
        if answer.status().is_success() { Ok(()) } else { Err(format!("it answers {}", answer.status()).into()) }
    }
}

/// `name=value` pairs with percent-encoded values, separated by commas.
fn headers(variable: Variable<'_>) -> Result<Vec<(HeaderName, HeaderValue)>, OtlpError> {
    const NAMES: [&str; 2] = ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_METRICS_HEADERS"];
    let mut headers = HashMap::new();
    for name in NAMES {
        for pair in variable(name).unwrap_or_default().split(',').filter(|pair| !pair.trim().is_empty()) {
            let header = pair.split_once('=').and_then(|(key, value)| {
                let value = url::form_urlencoded::parse(format!("={}", value.trim().replace('+', "%2B")).as_bytes())
                    .next()
                    .map(|(_, value)| value.into_owned())?;
                Some((key.trim().parse::<HeaderName>().ok()?, value.parse::<HeaderValue>().ok()?))
            });
            let Some((key, value)) = header else {
                let reason = "it must be NAME=VALUE, several separated by commas".to_owned();
                return Err(OtlpError::Variable { variable: name, reason });
            };
            headers.insert(key, value);
        }
    }
    Ok(headers.into_iter().collect())
}

/// Sends requests on the host's runtime, also for the exporter's own threads.
#[derive(Clone, Debug)]
struct Client {
    client: reqwest::Client,
    runtime: Handle,
}

impl Client {
    fn new(variable: Variable<'_>) -> Result<Self, OtlpError> {
        let millis = variable("OTEL_EXPORTER_OTLP_TIMEOUT").and_then(|millis| millis.trim().parse().ok());
        // Another part of the host may have named it already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder()
            .user_agent(concat!("neuronova-sync/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .timeout(millis.map_or(TIMEOUT, Duration::from_millis))
            .build()
            .map_err(|error| OtlpError::Client(error.to_string()))?;
        Ok(Self { client, runtime: Handle::current() })
    }
}

impl HttpClient for Client {
    fn send_bytes<'client, 'sending>(
        &'client self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'sending>>
    where
        'client: 'sending,
        Self: 'sending,
    {
        let client = self.client.clone();
        let sending = self.runtime.spawn(async move {
            let mut answer = client.execute(request.try_into()?).await?;
            let status = answer.status();
            let headers = answer.headers().clone();
            let mut body = Vec::new();
            while let Some(chunk) = answer.chunk().await? {
                if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                    return Err("the answer is too large".into());
                }
                body.extend_from_slice(&chunk);
            }
            let mut response = Response::new(Bytes::from(body));
            (*response.status_mut(), *response.headers_mut()) = (status, headers);
            Ok::<_, HttpError>(response)
        });
        Box::pin(async move { sending.await? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn otlp(variables: &[(&str, &str)]) -> Result<Option<Otlp>, OtlpError> {
        let variables: HashMap<_, _> = variables.iter().copied().collect();
        Otlp::from_variables(&|name| variables.get(name).map(|value| (*value).to_owned()))
    }

    #[tokio::test]
    async fn nothing_is_sent_without_an_endpoint() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
        for off in [
            vec![],
            vec![("OTEL_TRACES_SAMPLER", "always_on")],
            vec![endpoint, ("OTEL_SDK_DISABLED", "true")],
            vec![endpoint, ("OTEL_TRACES_EXPORTER", "none"), ("OTEL_METRICS_EXPORTER", "none")],
        ] {
            assert!(otlp(&off).unwrap().is_none(), "{off:?}");
        }
        let both = otlp(&[endpoint]).unwrap().unwrap();
        assert!(both.spans.is_some() && both.metrics.is_some());
        let traces = otlp(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:1/x")]).unwrap().unwrap();
        assert!(traces.spans.is_some() && traces.metrics.is_none());
        let metrics = otlp(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]).unwrap().unwrap();
        assert_eq!(metrics.metrics.unwrap().url, "http://127.0.0.1:1/v1/metrics");
        assert!(metrics.spans.is_none());
    }

    #[tokio::test]
    async fn variables_that_cannot_be_obeyed_are_named_and_their_values_not_shown() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
        for (variable, value) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "SECRET"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "SECRET"),
            ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "SECRET"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "SECRET"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "bad name=SECRET"),
        ] {
            let error = otlp(&[endpoint, (variable, value)]).err().unwrap().to_string();
            assert!(error.contains(variable) && !error.contains("SECRET"), "{error}");
        }
    }

    #[test]
    fn headers_are_read_with_their_percent_encoding() {
        let of =
            |name: &str| (name == "OTEL_EXPORTER_OTLP_HEADERS").then(|| "authorization=Basic%20a+b, x-y=1".to_owned());
        let mut found = headers(&of).unwrap();
        found.sort_by(|one, other| one.0.as_str().cmp(other.0.as_str()));
        let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(found, [("authorization", "Basic a+b"), ("x-y", "1")]);
    }
}
