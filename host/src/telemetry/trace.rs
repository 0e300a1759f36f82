//! The spans of a batch: claim, adapter, fence and settle, below one span from the claim to the end. What an adapter
//! does at its target comes below `adapter` (`plugin/span.rs`).
//!
//! Nothing is recorded until an exporter is set (`otlp.rs`), and then only batches that are sampled: the others cost a
//! comparison. A span holds names, numbers and templates, and never a value or an id of an aggregate.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{FutureExt as _, Span as _, SpanBuilder, SpanKind, Status, TraceContextExt as _};
use opentelemetry::{Context, KeyValue, global};
use opentelemetry_sdk::propagation::TraceContextPropagator;

use super::step::{ROUTE, Step};
use crate::domain::delivery::Settlement;

/// The name of the instrumentation.
const SCOPE: &str = "neuronova";
/// Links of one batch at most: an application may write each change in a trace of its own.
const LINKS_MAX: usize = 32;

/// Whether spans are exported at all.
static IS_ON: AtomicBool = AtomicBool::new(false);

/// Spans are recorded from now on.
pub(super) fn switch_on() {
    IS_ON.store(true, Ordering::Relaxed);
}

/// The span of one batch. It ends when it is dropped.
#[derive(Clone, Debug, Default)]
pub struct BatchTrace(Option<Context>);

impl BatchTrace {
    /// A batch was claimed for a target, which took so long.
    #[must_use]
    pub fn claimed(target: &str, deliveries: usize, took: Duration) -> Self {
        if !IS_ON.load(Ordering::Relaxed) {
            return Self(None);
        }
        let now = SystemTime::now();
        let span = SpanBuilder::from_name(format!("process {target}"))
            .with_kind(SpanKind::Consumer)
            .with_start_time(now - took)
            .with_attributes([
                KeyValue::new("messaging.system", "neuronova"),
                KeyValue::new("messaging.operation.name", "process"),
                KeyValue::new("messaging.operation.type", "process"),
                KeyValue::new("messaging.destination.name", target.to_owned()),
                KeyValue::new("messaging.batch.message_count", i64::try_from(deliveries).unwrap_or(i64::MAX)),
            ]);
        let batch = Context::new().with_span(span.start_with_context(&global::tracer(SCOPE), &Context::new()));
        if !batch.span().span_context().is_sampled() {
            return Self(None);
        }
        past(&batch, Step::Claim.as_str(), now - took, now, Vec::new());
        Self(Some(batch))
    }

    /// Whether anything of this batch is recorded.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.0.is_some()
    }

    /// Links the traces in which the application wrote the changes; each is a W3C `traceparent`. Others are ignored.
    pub fn link(&self, traceparents: &[String]) {
        let Some(batch) = &self.0 else { return };
        let distinct: BTreeSet<_> = traceparents.iter().take(LINKS_MAX).collect();
        for traceparent in distinct {
            let carrier = HashMap::from([("traceparent".to_owned(), traceparent.clone())]);
            let remote = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
            let written = remote.span().span_context().clone();
            if written.is_valid() {
                batch.span().add_link(written, Vec::new());
            }
        }
    }

    /// Runs a step below the span of the batch.
    pub async fn step<T>(&self, step: Step, future: impl Future<Output = T>) -> T {
        match &self.0 {
            Some(batch) => below(batch, step.as_str(), future).await,
            None => future.await,
        }
    }

    /// The batch has these results.
    pub fn settled(&self, settlements: &[Settlement]) {
        let Some(batch) = &self.0 else { return };
        let failures = settlements.iter().filter_map(|settlement| settlement.failure.as_ref());
        let kinds: BTreeSet<_> = failures.clone().map(|failure| failure.kind.as_str()).collect();
        if !kinds.is_empty() {
            let count = i64::try_from(failures.count()).unwrap_or(i64::MAX);
            let kinds = kinds.into_iter().collect::<Vec<_>>().join(",");
            batch.span().set_attribute(KeyValue::new("neuronova.failures", count));
            batch.span().set_attribute(KeyValue::new("error.type", kinds.clone()));
            batch.span().set_status(Status::error(kinds));
        }
    }
}

/// Runs a step below the span under way, if that one is recorded.
pub async fn step<T>(step: Step, future: impl Future<Output = T>) -> T {
    let under_way = Context::current();
    if under_way.span().span_context().is_sampled() {
        below(&under_way, step.as_str(), future).await
    } else {
        future.await
    }
}

async fn below<T>(parent: &Context, name: &'static str, future: impl Future<Output = T>) -> T {
    let span = SpanBuilder::from_name(name).start_with_context(&global::tracer(SCOPE), parent);
    let step = parent.with_span(span);
    let result = future.with_context(step.clone()).await;
    step.span().end();
    result
}

/// New changes were entered as deliveries, which took so long.
pub(super) fn routed(changes: u64, took: Duration) {
    if IS_ON.load(Ordering::Relaxed) {
        let now = SystemTime::now();
        let count = KeyValue::new("messaging.batch.message_count", i64::try_from(changes).unwrap_or(i64::MAX));
        past(&Context::new(), ROUTE, now - took, now, vec![count]);
    }
}

/// Records what has ended already.
fn past(parent: &Context, name: &'static str, start: SystemTime, end: SystemTime, attributes: Vec<KeyValue>) {
    let span = SpanBuilder::from_name(name).with_start_time(start).with_attributes(attributes);
    span.start_with_context(&global::tracer(SCOPE), parent).end_with_timestamp(end);
}
