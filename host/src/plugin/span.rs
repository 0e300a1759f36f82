//! Spans of what an adapter does at its target: one for each statement or request, below the span of its call. Without
//! one that is recorded nothing is made.
//!
//! A span has a statement without its literals, and a request without the parts of its path that may name a record. It
//! never has a value, a header or a body.

use std::future::Future;

use http::{HeaderValue, Method, StatusCode};
use opentelemetry::trace::{FutureExt as _, SpanBuilder, SpanKind, Status, TraceContextExt as _};
use opentelemetry::{Context, KeyValue, global};
use url::Url;

use crate::database::{DatabaseError, Dialect};

/// The name of the instrumentation.
const SCOPE: &str = "neuronova.adapter";
/// Parts of a path that name no record: the types of FHIR that adapters write, and its own words.
const KNOWN_PARTS: [&str; 11] = [
    "AllergyIntolerance",
    "Appointment",
    "Condition",
    "Encounter",
    "MedicationRequest",
    "MedicationStatement",
    "Observation",
    "Patient",
    "_history",
    "_search",
    "metadata",
];

/// Characters of a statement that are shown: one that writes a batch has a placeholder for each value.
const STATEMENT_CHARS_MAX: usize = 2_000;

/// Runs a statement. `shape` gives it without its literals.
pub(super) async fn statement<T>(
    dialect: Dialect,
    shape: impl FnOnce() -> String,
    running: impl Future<Output = Result<T, DatabaseError>>,
) -> Result<T, DatabaseError> {
    let under_way = Context::current();
    if !is_recorded(&under_way) {
        return running.await;
    }
    let text: String = shape().chars().take(STATEMENT_CHARS_MAX).collect();
    let verb = text.split(' ').next().unwrap_or_default().to_ascii_uppercase();
    let system = match dialect {
        Dialect::Sqlite => "sqlite",
        Dialect::MySql => "mysql",
        Dialect::Postgres => "postgresql",
    };
    let attributes = [
        KeyValue::new("db.system.name", system),
        KeyValue::new("db.operation.name", verb.clone()),
        KeyValue::new("db.query.text", text),
    ];
    let span = SpanBuilder::from_name(verb).with_kind(SpanKind::Client).with_attributes(attributes);
    let statement = below(&under_way, span);
    let result = running.with_context(statement.clone()).await;
    if let Err(error) = &result {
        statement.span().set_status(Status::error(format!("{:?}", error.kind)));
    }
    statement.span().end();
    result
}

/// The span of a request; without one that is recorded it does nothing.
pub(super) struct RequestSpan(Option<Context>);

impl RequestSpan {
    /// Begins a request below the span under way in `caller`.
    pub(super) fn begin(caller: &Context, method: &Method, url: &Url) -> Self {
        if !is_recorded(caller) {
            return Self(None);
        }
        let span = SpanBuilder::from_name(method.to_string()).with_kind(SpanKind::Client).with_attributes([
            KeyValue::new("http.request.method", method.to_string()),
            KeyValue::new("url.template", template(url)),
            KeyValue::new("server.address", url.host_str().unwrap_or_default().to_owned()),
            KeyValue::new("server.port", i64::from(url.port_or_known_default().unwrap_or_default())),
        ]);
        Self(Some(below(caller, span)))
    }

    /// The header by which the server joins this trace.
    pub(super) fn traceparent(&self) -> Option<HeaderValue> {
        let context = self.0.as_ref()?.span().span_context().clone();
        let (trace, span, flags) = (context.trace_id(), context.span_id(), context.trace_flags().to_u8());
        HeaderValue::try_from(format!("00-{trace}-{span}-{flags:02x}")).ok()
    }

    /// Runs the request.
    pub(super) async fn run<T>(&self, sending: impl Future<Output = T>) -> T {
        match &self.0 {
            Some(request) => sending.with_context(request.clone()).await,
            None => sending.await,
        }
    }

    /// The answer's head is there; `None` when none came.
    pub(super) fn end(&self, status: Option<StatusCode>) {
        let Some(request) = &self.0 else { return };
        let request = request.span();
        if let Some(status) = status {
            request.set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
        }
        if status.is_none_or(|status| status.as_u16() >= 400) {
            let reason = status.map_or_else(|| "no answer".to_owned(), |status| status.as_u16().to_string());
            request.set_status(Status::error(reason));
        }
        request.end();
    }
}

fn is_recorded(context: &Context) -> bool {
    context.span().span_context().is_sampled()
}

fn below(parent: &Context, span: SpanBuilder) -> Context {
    parent.with_span(span.start_with_context(&global::tracer(SCOPE), parent))
}

/// The path with `{}` for each part that may name a record, and without the query.
fn template(url: &Url) -> String {
    let part = |part: &str| {
        let is_operation =
            part.strip_prefix('$').is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_lowercase()));
        if part.is_empty() || is_operation || KNOWN_PARTS.contains(&part) { part.to_owned() } else { "{}".to_owned() }
    };
    url.path().split('/').map(part).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_shown_without_what_may_name_a_record() {
        for (path, shown) in [
            ("/r4/Patient/Kim-1980", "/{}/Patient/{}"),
            ("/Patient?identifier=x|Kim#Kim", "/Patient"),
            ("/Patient/$merge", "/Patient/$merge"),
            ("/Patient/$Kim", "/Patient/{}"),
            ("/metadata", "/metadata"),
            ("", "/"),
        ] {
            let url = Url::parse(&format!("https://fhir.example{path}")).unwrap();
            assert_eq!(template(&url), shown, "{path}");
        }
    }

    #[tokio::test]
    async fn without_a_span_that_is_recorded_nothing_is_made() {
        let url = Url::parse("https://fhir.example/Patient").unwrap();
        let span = RequestSpan::begin(&Context::current(), &Method::GET, &url);
        assert!(span.0.is_none() && span.traceparent().is_none());
        assert_eq!(span.run(std::future::ready(7)).await, 7);
        span.end(None);
    }
}
