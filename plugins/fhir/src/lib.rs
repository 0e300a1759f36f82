//! The FHIR adapter.
use adapter_sdk::{Change, Context, HttpAdapter, Descriptor, Failure, Outcome, Report};
struct Fhir;
impl HttpAdapter for Fhir {
    fn describe() -> Descriptor { Descriptor { name: "fhir".into(), version: env!("CARGO_PKG_VERSION").into(), aggregate_types: vec!["patient".into()] } }
    fn check() -> Result<Report, Failure> {
     adapter_sdk::http_target::wasi::http::outgoing_handler::handle(adapter_sdk::http_target::wasi::http::types::OutgoingRequest::new(adapter_sdk::http_target::wasi::http::types::Fields::new()), None).ok();
     Ok(Report{summary: String::new(), findings: vec![], state: vec![]}) }
    fn apply(_context: Context, _changes: Vec<Change>) -> Result<Vec<Outcome>, Failure> { Ok(vec![]) }
}
adapter_sdk::export_http_adapter!(Fhir);
