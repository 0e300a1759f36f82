//! What became of the HTTP requests of a batch: whether one that may write was sent and has no answer, and whether one
//! timed out.
//!
//! The caller shares it with the call, so that it can be read after a call was dropped half-way. It only counts; what
//! follows from a request in doubt is decided by whoever holds the lease.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderValue, StatusCode};

/// The fates of all requests of one batch, over all its calls. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct RequestFates(Arc<Fates>);

#[derive(Debug, Default)]
struct Fates {
    unanswered: AtomicU64,
    timed_out: AtomicU64,
}

impl RequestFates {
    /// Requests that may write, were sent, and have no complete answer (yet). The server may still be working on them.
    #[must_use]
    pub fn unanswered(&self) -> u64 {
        self.0.unanswered.load(Ordering::Acquire)
    }

    /// Requests of any kind that took longer than they may.
    #[must_use]
    pub fn timed_out(&self) -> u64 {
        self.0.timed_out.load(Ordering::Acquire)
    }

    /// A request that may write is about to be sent.
    ///
    /// It is counted before the lease is asked for: a caller that finds nothing unanswered and gives the lease up can
    /// then be sure that the lease refuses the request.
    pub(super) fn sending(&self) -> Unanswered {
        self.0.unanswered.fetch_add(1, Ordering::AcqRel);
        Unanswered(self.clone())
    }

    pub(super) fn record_timeout(&self) {
        self.0.timed_out.fetch_add(1, Ordering::AcqRel);
    }
}

/// A request whose answer is awaited. Dropped without an answer, it stays unanswered for good.
#[must_use = "a request that was answered must say so"]
pub(super) struct Unanswered(RequestFates);

impl Unanswered {
    /// The answer is complete, or it is certain that the request was never sent.
    pub(super) fn resolve(self) {
        self.0.0.unanswered.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Whether an answer may come from something before the server (a proxy, a load balancer, a content network) that gave
/// up waiting: the server behind it may go on working. A 503 in the very format that was asked for is the server's own:
/// nothing before it speaks that.
pub(super) fn may_be_a_gateways_word(
    status: StatusCode,
    asked: Option<&HeaderValue>,
    answered: Option<&HeaderValue>,
) -> bool {
    match status.as_u16() {
        408 | 499 | 502 | 504 | 520..=530 | 598 | 599 => true,
        503 => {
            let media_type = |value: &HeaderValue| {
                let text = value.to_str().unwrap_or_default().split([';', ',']).next().unwrap_or_default();
                text.trim().to_ascii_lowercase()
            };
            let asked = asked.map(media_type).filter(|asked| asked.starts_with("application/") && asked.contains('+'));
            asked.is_none() || answered.map(media_type) != asked
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_error_leaves_a_request_in_doubt() {
        let fhir = HeaderValue::from_static("application/fhir+json; charset=utf-8");
        let json = HeaderValue::from_static("application/json");
        let of = |status: u16, asked, answered| {
            may_be_a_gateways_word(StatusCode::from_u16(status).unwrap(), asked, answered)
        };
        for status in [408, 499, 502, 504, 520, 524, 530, 598, 599] {
            assert!(of(status, Some(&fhir), Some(&fhir)), "{status}");
        }
        for status in [200, 400, 403, 404, 409, 412, 413, 422, 429, 500, 501, 505] {
            assert!(!of(status, Some(&fhir), None), "{status}");
        }
        assert!(!of(503, Some(&fhir), Some(&fhir)), "the server's own");
        assert!(of(503, Some(&fhir), Some(&json)) && of(503, Some(&fhir), None));
        assert!(of(503, Some(&json), Some(&json)), "a gateway speaks JSON too");
        assert!(of(503, None, Some(&fhir)));
    }

    #[test]
    fn a_request_is_in_doubt_until_it_is_resolved() {
        let fates = RequestFates::default();
        let (answered, dropped) = (fates.sending(), fates.sending());
        assert_eq!(fates.unanswered(), 2);
        answered.resolve();
        drop(dropped);
        assert_eq!(fates.unanswered(), 1, "a dropped request was never answered");
    }
}
