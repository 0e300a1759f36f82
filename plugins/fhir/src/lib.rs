//! The FHIR R4 adapter: makes a FHIR server hold the state of our patients and their clinical records.
//!
//! This file only connects the parts: settings, `check` and `apply`, and the host's HTTP client behind
//! `exchange::Outside`. The adapter never sees a credential, and never puts a value of a payload into a message or a
//! log line. Read next: `delivery` (the protocol of one change), `exchange` (rounds, Bundles, single requests),
//! `mapping` and `ownership` (what is written and what is kept); for operators `docs/adapters/fhir.md`.

mod answer;
mod bundle;
mod capability;
mod delivery;
mod exchange;
mod identity;
mod kind;
mod learned;
mod list;
mod mapping;
mod observe;
mod outcome;
mod ownership;
mod settings;
#[cfg(test)]
mod testing;
mod wanted;

use adapter_sdk::http::{Client, Error, Request, Response};
use adapter_sdk::{
    AggregateSupport, Applied, Change, Context, Descriptor, Failure, HttpAdapter, HttpListing, Observation, OwnPage,
    Report, Subject, clinical,
};

use crate::capability::Capabilities;
use crate::delivery::Rules;
use crate::exchange::Outside;
use crate::learned::Learned;
use crate::settings::Settings;

struct Fhir;

/// The adapter's access to the host.
struct Host {
    client: Client,
    base_url: Option<String>,
}

impl Outside for Host {
    fn send(&self, request: &Request) -> Result<Response, Error> {
        self.client.send(request)
    }

    fn base_url(&self) -> Option<&str> {
        self.base_url.as_deref()
    }

    fn warn(&self, message: &str) {
        adapter_sdk::log::warn(message);
    }
}

fn configured() -> Result<(Settings, Host), Failure> {
    let settings = adapter_sdk::settings::read::<Settings>()?.validated()?;
    // No limit of its own: only the operator's `[targets.NAME.http] timeout_ms` limits a response.
    let client = Client::from_settings()?;
    Ok((settings, Host { client, base_url: adapter_sdk::settings::base_url() }))
}

/// Patients, including merges, and the types of clinical records.
fn supported() -> Vec<AggregateSupport> {
    let patients = AggregateSupport::written("patient").merged().observed();
    let records = clinical::TYPES.into_iter().map(|aggregate_type| AggregateSupport {
        schema: clinical::schema_id(aggregate_type).map(str::to_owned),
        ..AggregateSupport::written(aggregate_type).observed()
    });
    std::iter::once(patients).chain(records).collect()
}

impl HttpAdapter for Fhir {
    fn describe() -> Descriptor {
        Descriptor {
            name: "fhir".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            aggregate_types: supported(),
        }
    }

    fn check() -> Result<Report, Failure> {
        let (settings, host) = configured()?;
        capability::check(&host, &settings)
    }

    fn apply(context: Context, changes: Vec<Change>) -> Result<Applied, Failure> {
        if changes.is_empty() {
            return Ok(Vec::new().into());
        }
        let (settings, host) = configured()?;
        let capabilities = match Capabilities::from_state(&context.state) {
            Some(capabilities) => capabilities,
            None => capability::discover(&host, &settings)?,
        };
        let rules = Rules { settings: &settings, capabilities: &capabilities, on_remote_edit: context.on_remote_edit };
        let before = Learned::from_bytes(&context.learned);
        let (outcomes, after) = exchange::deliver(&host, &rules, before, &changes)?;
        Ok(Applied { outcomes, learned: (after != before).then(|| after.to_bytes()) })
    }

    fn observe(_: Context, subjects: Vec<Subject>) -> Result<Vec<Observation>, Failure> {
        let (settings, host) = configured()?;
        observe::observe(&host, &settings, &subjects)
    }
}

impl HttpListing for Fhir {
    fn list_own(_: Context, aggregate_type: String, after: Option<String>, limit: u32) -> Result<OwnPage, Failure> {
        let (settings, host) = configured()?;
        list::list(&host, &settings, &aggregate_type, after.as_deref(), limit)
    }
}

adapter_sdk::export_http_adapter!(Fhir);
adapter_sdk::export_http_listing!(Fhir);
