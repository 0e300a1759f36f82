//! The mock server: a small server on loopback, for one run of the suite. It can give every request the same answer.
//!
//! One request for each connection. What it keeps and how it answers is in `documents.rs`, or as the author defines in
//! `canned.rs`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::answers::Answers;
use super::canned::Canned;
use super::documents::{Documents, MockRequest, MockResponse};
use super::mutex::lock;

/// A request of an adapter under test is small and arrives at once.
const REQUEST_BYTES_MAX: usize = 32 << 20;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const BASE_PATH: &str = "/base";
/// Its name for people.
pub(super) const PLACE: &str = "mock server";

/// How the server behaves, whatever the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    /// Answers as a working server.
    Working,
    /// With this status; 429 has `Retry-After: 7`.
    Status(u16),
    /// Not at all: the connection is closed.
    Closed,
}

/// The running server; it stops when the last handle is dropped.
#[derive(Clone)]
pub(super) struct MockServer {
    port: u16,
    shared: Arc<Shared>,
    _stop: Arc<DropGuard>,
}

struct Shared {
    keeper: Mutex<Keeper>,
    mood: Mutex<Mood>,
}

/// What the answers come from.
enum Keeper {
    Documents(Documents),
    Canned(Canned),
}

impl Keeper {
    fn answer(&mut self, request: &MockRequest) -> MockResponse {
        match self {
            Self::Documents(documents) => documents.answer(request),
            Self::Canned(canned) => canned.answer(request),
        }
    }
}

impl MockServer {
    pub(super) async fn start(answers: Option<&Answers>) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let documents = || Keeper::Documents(Documents::default());
        let keeper = answers.map_or_else(documents, |answers| Keeper::Canned(Canned::new(answers)));
        let shared = Arc::new(Shared { keeper: Mutex::new(keeper), mood: Mutex::new(Mood::Working) });
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, Arc::clone(&shared), stop.clone()));
        Ok(Self { port, shared, _stop: Arc::new(stop.drop_guard()) })
    }

    pub(super) fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}{BASE_PATH}", self.port)
    }

    pub(super) fn records(&self) -> u64 {
        match &*lock(&self.shared.keeper) {
            Keeper::Documents(documents) => documents.len(),
            Keeper::Canned(canned) => canned.len(),
        }
    }

    /// Everything that is kept, to compare.
    pub(super) fn contents(&self) -> Vec<String> {
        match &*lock(&self.shared.keeper) {
            Keeper::Documents(documents) => documents.contents(),
            Keeper::Canned(canned) => canned.contents(),
        }
    }

    /// As others do: writes another text in place of one, wherever it is kept. Returns the number of records.
    pub(super) fn edit(&self, text: &str, other: &str) -> u64 {
        match &mut *lock(&self.shared.keeper) {
            Keeper::Documents(documents) => documents.edit(text, other),
            Keeper::Canned(canned) => canned.edit(text, other),
        }
    }

    /// As others do: deletes what holds a text. Returns the number of records.
    pub(super) fn delete(&self, text: &str) -> u64 {
        match &mut *lock(&self.shared.keeper) {
            Keeper::Documents(documents) => documents.delete(text),
            Keeper::Canned(canned) => canned.delete(text),
        }
    }

    /// As others do: makes a second record of what holds a text, where the server and not the client gives ids. Returns
    /// the number of records.
    pub(super) fn double(&self, text: &str) -> u64 {
        match &mut *lock(&self.shared.keeper) {
            Keeper::Documents(documents) => documents.double(text),
            Keeper::Canned(_) => 0,
        }
    }

    /// Requests that no rule of the author's file fits; `None` without such a file.
    pub(super) fn unanswered(&self) -> Option<Vec<String>> {
        match &*lock(&self.shared.keeper) {
            Keeper::Documents(_) => None,
            Keeper::Canned(canned) => Some(canned.unanswered().to_vec()),
        }
    }

    pub(super) fn set_mood(&self, mood: Mood) {
        *lock(&self.shared.mood) = mood;
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    let accept = async {
        while let Ok((stream, _)) = listener.accept().await {
            let (shared, stop) = (Arc::clone(&shared), stop.clone());
            tokio::spawn(async move {
                let talk = tokio::time::timeout(REQUEST_TIMEOUT, talk(stream, &shared));
                // A client that closes its connection is not an error of the server.
                stop.run_until_cancelled(talk).await.map(drop).unwrap_or_default();
            });
        }
    };
    stop.run_until_cancelled(accept).await.unwrap_or_default();
}

async fn talk(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let Some(request) = read(&mut stream).await? else { return Ok(()) };
    let mood = *lock(&shared.mood);
    let response = match mood {
        Mood::Closed => return Ok(()),
        Mood::Status(status) => {
            let waits = (status == 429).then(|| ("retry-after".to_owned(), "7".to_owned()));
            MockResponse { status, headers: waits.into_iter().collect(), body: Vec::new() }
        }
        Mood::Working => lock(&shared.keeper).answer(&request),
    };
    let mut head = format!("HTTP/1.1 {} Answer\r\nconnection: close\r\n", response.status);
    for (name, value) in &response.headers {
        let value = if name == "location" { format!("{BASE_PATH}/{value}") } else { value.clone() };
        head.extend([name, ": ", &value, "\r\n"]);
    }
    if response.status != 204 {
        head.extend(["content-length: ", &response.body.len().to_string(), "\r\n"]);
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await?;
    if request.method != "HEAD" {
        stream.write_all(&response.body).await?;
    }
    stream.shutdown().await
}

/// Reads one request; `None` when the client closed the connection or sent something else.
async fn read(stream: &mut TcpStream) -> std::io::Result<Option<MockRequest>> {
    let mut bytes = Vec::new();
    loop {
        if let Some(request) = parse(&bytes) {
            return Ok(Some(request));
        }
        if stream.read_buf(&mut bytes).await? == 0 || bytes.len() > REQUEST_BYTES_MAX {
            return Ok(None);
        }
    }
}

/// Parses the request when all of it has arrived. The host's client always sends the length of a body.
fn parse(bytes: &[u8]) -> Option<MockRequest> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = request.parse(bytes).ok()? else { return None };
    let headers: Vec<(String, String)> = request
        .headers
        .iter()
        .map(|header| (header.name.to_ascii_lowercase(), String::from_utf8_lossy(header.value).into_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0_usize);
    let body = bytes.get(head..head + length)?.to_vec();
    let target = request.path?.trim_start_matches(BASE_PATH).trim_start_matches('/');
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Some(MockRequest {
        method: request.method?.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body,
    })
}
