//! The answers that an HTTP target gave to one adapter, kept so that another adapter can be run on them.
//!
//! While a tape is recorded, requests are sent as always. While it is played, a request that may write is never sent:
//! it gets the recorded answer to the same request, or is withheld. A tape holds patients' data; it is never logged,
//! and ends with the comparison that it is for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use url::Url;

/// Recorded requests with their answers. Clones share them.
#[derive(Clone, Default)]
pub struct Tape(Arc<Mutex<Vec<Entry>>>);

/// What is done with a tape.
#[derive(Clone, Debug)]
pub enum TapeUse {
    /// Each request is sent, and its answer recorded.
    Record(Tape),
    /// Recorded answers are given.
    Play(Tape),
}

#[derive(Clone)]
struct Entry {
    method: Method,
    url: Url,
    body: Bytes,
    answer: Option<TapeAnswer>,
    is_used: bool,
}

/// A complete answer.
#[derive(Clone)]
pub(super) struct TapeAnswer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// A request whose answer is being recorded.
pub(super) struct Recording {
    tape: Tape,
    index: usize,
}

impl Recording {
    pub(super) fn complete(self, answer: TapeAnswer) {
        if let Some(entry) = self.tape.lock().get_mut(self.index) {
            entry.answer = Some(answer);
        }
    }
}

impl TapeUse {
    /// Begins to record a request; `None` while the tape is played.
    pub(super) fn record(&self, method: &Method, url: &Url, body: &Bytes) -> Option<Recording> {
        let Self::Record(tape) = self else { return None };
        let mut entries = tape.lock();
        entries.push(Entry {
            method: method.clone(),
            url: url.clone(),
            body: body.clone(),
            answer: None,
            is_used: false,
        });
        Some(Recording { tape: tape.clone(), index: entries.len() - 1 })
    }
}

impl Tape {
    /// The answer to the most similar request of the tape: the same one, else one with another body, else, for one that
    /// may write, one to another record. Each answer is given once before any is given again.
    pub(super) fn answer(&self, method: &Method, url: &Url, body: &Bytes, may_write: bool) -> Option<TapeAnswer> {
        let mut entries = self.lock();
        let is_same = |entry: &Entry| entry.method == *method && entry.url == *url && entry.answer.is_some();
        let is_like = |entry: &Entry| {
            may_write && entry.method == *method && collection(&entry.url) == collection(url) && entry.answer.is_some()
        };
        let index = entries
            .iter()
            .position(|entry| !entry.is_used && is_same(entry) && entry.body == *body)
            .or_else(|| entries.iter().position(|entry| !entry.is_used && is_same(entry)))
            .or_else(|| entries.iter().position(|entry| !entry.is_used && is_like(entry)))
            // A record that is read again is the one after the last write, if that was read.
            .or_else(|| entries.iter().rposition(|entry| !may_write && is_same(entry)))?;
        entries[index].is_used = true;
        entries[index].answer.clone()
    }

    /// The same tape, of which no answer was given yet.
    #[must_use]
    pub fn rewound(&self) -> Self {
        let entries = self.lock();
        Self(Arc::new(Mutex::new(entries.iter().map(|entry| Entry { is_used: false, ..entry.clone() }).collect())))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The path without its last part, which may be an id.
fn collection(url: &Url) -> &str {
    let path = url.path();
    path.rsplit_once('/').map_or(path, |(before, _)| before)
}

/// Shows nothing of the content.
impl std::fmt::Debug for Tape {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Tape(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(tape: &Tape, method: &Method, url: &str, body: &'static str, answer: &'static str) {
        let body = Bytes::from_static(body.as_bytes());
        let recording = TapeUse::Record(tape.clone()).record(method, &url.parse().expect("a URL"), &body);
        let answer = Bytes::from_static(answer.as_bytes());
        recording.expect("it is recorded").complete(TapeAnswer {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: answer,
        });
    }

    fn answer(tape: &Tape, method: &Method, url: &str, body: &'static str) -> Option<String> {
        let may_write = *method != Method::GET;
        let found = tape.answer(method, &url.parse().expect("a URL"), &Bytes::from_static(body.as_bytes()), may_write);
        found.map(|answer| String::from_utf8(answer.body.to_vec()).expect("text"))
    }

    #[test]
    fn a_request_gets_the_answer_to_the_same_one_and_a_write_that_to_the_most_similar_one() {
        let tape = Tape::default();
        recorded(&tape, &Method::GET, "http://h/Patient/1", "", "before");
        recorded(&tape, &Method::PUT, "http://h/Patient/1", "a", "put a");
        recorded(&tape, &Method::PUT, "http://h/Patient/2", "b", "put b");
        recorded(&tape, &Method::GET, "http://h/Patient/1", "", "after");
        assert_eq!(answer(&tape, &Method::PUT, "http://h/Patient/2", "other").as_deref(), Some("put b"));
        assert_eq!(answer(&tape, &Method::PUT, "http://h/Patient/3", "").as_deref(), Some("put a"), "another record");
        assert_eq!(answer(&tape, &Method::PUT, "http://h/Patient/1", "a"), None, "no answer is left");
        for expected in ["before", "after", "after"] {
            assert_eq!(answer(&tape, &Method::GET, "http://h/Patient/1", "").as_deref(), Some(expected));
        }
        assert_eq!(answer(&tape, &Method::GET, "http://h/Patient/2", ""), None, "a reading request is really sent");
        assert_eq!(answer(&tape, &Method::POST, "http://h/Patient/1", ""), None);
    }

    #[test]
    fn a_request_without_an_answer_is_not_answered() {
        let tape = Tape::default();
        let url: Url = "http://h/Patient/1".parse().expect("a URL");
        drop(TapeUse::Record(tape.clone()).record(&Method::PUT, &url, &Bytes::new()));
        assert_eq!(answer(&tape, &Method::PUT, "http://h/Patient/1", ""), None);
        assert!(TapeUse::Play(tape).record(&Method::PUT, &url, &Bytes::new()).is_none());
    }
}
