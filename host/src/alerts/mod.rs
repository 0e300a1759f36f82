//! Alerts for those who have no Prometheus: a host looks at the conditions of `[alerts]`, keeps what it finds in the
//! store, and sends it over a webhook or by mail.
//!
//! ```text
//!   telemetry's reading of the store --+
//!   a few statements (StoreFacts) -----+--> judge (conditions.rs) --> sync_alert --> messages (message.rs)
//!   this machine (local.rs) -----------+                                             |--> webhook.rs
//!   servers (server_certificates.rs) --+                                             +--> smtp.rs
//! ```
//!
//! Every host looks; the store has each alert once, and one host sends each message (`store/alert_sends.rs`). It is no
//! part of delivering: a channel that does not answer delays nothing but its own messages. A message never has a value
//! of a payload, and a patient's id only as its example. Read next: `alerter.rs`.

mod alerter;
mod channel;
mod conditions;
mod local;
mod message;
mod secret;
mod server_certificates;
mod silence;
mod smtp;
mod unseen;
mod webhook;

pub use alerter::{Alerter, AlerterOptions, Watch};
pub use channel::Channel;
pub use local::{EndingThing, LocalSources};
pub use message::{Message, MessageEvent};
pub use secret::SecretReader;
pub use server_certificates::{AskedServer, BeforeTls};
pub use smtp::{Smtp, SmtpOptions};
pub use unseen::end_unseen;
pub use webhook::Webhook;
