//! An HTTP adapter that sends the requests in its settings and reports the responses, for tests of the host's HTTP.
//!
//! It uses `wasi:http` directly, so that it can do what a hostile adapter would do.

use adapter_sdk::http_target::wasi::http::outgoing_handler::handle;
use adapter_sdk::http_target::wasi::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme,
};
use adapter_sdk::http_target::wasi::io::streams::StreamError;
use adapter_sdk::{
    AggregateSupport, Applied, Change, Context, Current, Descriptor, Failure, FailureKind, HttpAdapter, Observation,
    Outcome, Receipt, Report, Subject, settings,
};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// `GET`, `POST`, ...
    method: String,
    /// `http` or `https`.
    #[serde(default = "http")]
    scheme: String,
    /// Host and port.
    authority: String,
    path: String,
    /// A header to set on the request; an error of the host is reported.
    #[serde(default)]
    headers: Vec<(String, String)>,
    /// Bytes of the request's body.
    #[serde(default)]
    body_bytes: usize,
    /// How many requests to send before the first response is read.
    #[serde(default = "one")]
    at_once: usize,
    /// How many additional sets of headers to create and keep.
    #[serde(default)]
    hoard: usize,
    /// Whether `check` sends nothing.
    #[serde(default)]
    quiet_check: bool,
    /// Whether to report all accessible data in addition to the response.
    #[serde(default)]
    tell: bool,
}

fn http() -> String {
    "http".to_owned()
}

fn one() -> usize {
    1
}

struct HttpProbe;

impl HttpAdapter for HttpProbe {
    fn describe() -> Descriptor {
        Descriptor {
            name: "http-probe".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            aggregate_types: vec![AggregateSupport::written("patient").observed()],
        }
    }

    fn check() -> Result<Report, Failure> {
        let settings: Settings = settings::read()?;
        let summary = if settings.quiet_check { "quiet".to_owned() } else { send()? };
        Ok(Report { summary, findings: Vec::new(), state: Vec::new() })
    }

    fn apply(_: Context, changes: Vec<Change>) -> Result<Applied, Failure> {
        let settings: Settings = settings::read()?;
        let answer = send()?;
        if settings.tell {
            return Err(failed(format!("{answer} {}", everything())));
        }
        let receipt = || Receipt { remote_id: answer.clone(), remote_version: None, fingerprint: None };
        Ok(changes.iter().map(|_| Outcome::Applied(receipt())).collect::<Vec<_>>().into())
    }

    /// The response to its request is reported as the record's state.
    fn observe(_: Context, subjects: Vec<Subject>) -> Result<Vec<Observation>, Failure> {
        let answer = send()?;
        let fingerprint: String = answer.chars().take(200).collect();
        let present = || Current { fingerprint: fingerprint.clone(), remote_version: None };
        Ok(subjects.iter().map(|_| Observation::Present(present())).collect())
    }
}

adapter_sdk::export_http_adapter!(HttpProbe);

fn failed(message: String) -> Failure {
    Failure { kind: FailureKind::Invalid, message, retry_after_ms: None }
}

fn coded(code: &ErrorCode) -> Failure {
    failed(format!("{code:?}"))
}

/// Settings, environment, arguments, files, and the name and URL of the target.
fn everything() -> String {
    let variables: Vec<_> = std::env::vars().collect();
    let arguments: Vec<_> = std::env::args().collect();
    let files: Vec<_> = std::fs::read_dir("/").into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    let document: serde_json::Value = settings::read().unwrap_or_default();
    format!("{document} {:?} {} {variables:?} {arguments:?} {files:?}", settings::base_url(), settings::target_name())
}

/// Status, headers and body of the last response, in one line.
fn send() -> Result<String, Failure> {
    let settings: Settings = settings::read()?;
    let hoard: Vec<Fields> = (0..settings.hoard).map(|_| Fields::new()).collect();
    let waiting = (0..settings.at_once).map(|_| begin(&settings)).collect::<Result<Vec<_>, _>>()?;
    let mut last = String::new();
    let mut kept = Vec::new();
    for future in waiting {
        let response = wait(&future)?;
        // Not read yet, so that all requests are in flight together.
        kept.push((future, response));
    }
    while let Some((_, response)) = kept.pop() {
        last = read(&response)?;
    }
    drop(hoard);
    Ok(last)
}

fn begin(settings: &Settings) -> Result<FutureIncomingResponse, Failure> {
    let headers = Fields::new();
    for (name, value) in &settings.headers {
        headers
            .append(name, &value.clone().into_bytes())
            .map_err(|error| failed(format!("header {name}: {error:?}")))?;
    }
    let request = OutgoingRequest::new(headers);
    let method = match settings.method.as_str() {
        "GET" => Method::Get,
        "PUT" => Method::Put,
        "POST" => Method::Post,
        other => Method::Other(other.to_owned()),
    };
    let scheme = if settings.scheme == "https" { Scheme::Https } else { Scheme::Http };
    let set = request
        .set_method(&method)
        .and_then(|()| request.set_scheme(Some(&scheme)))
        .and_then(|()| request.set_authority(Some(&settings.authority)))
        .and_then(|()| request.set_path_with_query(Some(&settings.path)));
    set.map_err(|()| failed("the request was refused while it was made".to_owned()))?;
    let body = request.body().map_err(|()| failed("no body".to_owned()))?;
    let future = handle(request, None).map_err(|code| coded(&code))?;
    // The response shows whether the body was sent.
    drop(write(&body, settings.body_bytes));
    drop(OutgoingBody::finish(body, None));
    Ok(future)
}

fn write(body: &OutgoingBody, bytes: usize) -> Result<(), StreamError> {
    let stream = body.write().map_err(|()| StreamError::Closed)?;
    let mut left = bytes;
    while left > 0 {
        let chunk = left.min(4096);
        stream.blocking_write_and_flush(&vec![b'x'; chunk])?;
        left -= chunk;
    }
    Ok(())
}

fn wait(future: &FutureIncomingResponse) -> Result<IncomingResponse, Failure> {
    loop {
        match future.get() {
            Some(Ok(Ok(response))) => return Ok(response),
            Some(Ok(Err(code))) => return Err(coded(&code)),
            Some(Err(())) => return Err(failed("the answer was taken already".to_owned())),
            None => future.subscribe().block(),
        }
    }
}

fn read(response: &IncomingResponse) -> Result<String, Failure> {
    let headers = response.headers();
    let shown = |(name, value): (String, Vec<u8>)| format!("{name}: {}", String::from_utf8_lossy(&value));
    let mut names: Vec<String> = headers.entries().into_iter().map(shown).collect();
    names.sort();
    let body = response.consume().map_err(|()| failed("the body was taken already".to_owned()))?;
    let stream = body.stream().map_err(|()| failed("the body was taken already".to_owned()))?;
    let mut text = Vec::new();
    loop {
        match stream.blocking_read(65_536) {
            // Only the beginning is reported.
            Ok(chunk) => text.extend(chunk.into_iter().take(4096_usize.saturating_sub(text.len()))),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => return Err(failed(error.to_debug_string())),
        }
    }
    Ok(format!("{} [{}] {}", response.status(), names.join(","), String::from_utf8_lossy(&text)))
}
