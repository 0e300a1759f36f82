//! The OpenEMR adapter.
use adapter_sdk::database::Transaction;
use adapter_sdk::{Change, Context, DatabaseAdapter, Descriptor, Failure, Outcome, Report};
struct OpenEmr;
impl DatabaseAdapter for OpenEmr {
    fn describe() -> Descriptor { Descriptor { name: "openemr".into(), version: env!("CARGO_PKG_VERSION").into(), aggregate_types: vec!["patient".into()] } }
    fn check(db: &Transaction) -> Result<Report, Failure> { let _ = db.query("SELECT 1", &[], 1); adapter_sdk::log::info("x"); Ok(Report{summary: String::new(), findings: vec![], state: vec![]}) }
    fn apply(_db: &Transaction, _context: Context, _changes: Vec<Change>) -> Result<Vec<Outcome>, Failure> { Ok(vec![]) }
}
adapter_sdk::export_database_adapter!(OpenEmr);
