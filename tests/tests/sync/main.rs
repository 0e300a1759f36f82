//! The whole way of a change, with the host as its users run it: real adapters, real databases, a real FHIR server.

mod broken_log;
mod conflicts;
mod different_targets;
mod dry_run;
mod fhir;
mod fhir_servers;
mod foreign_words;
mod hostile;
mod hostile_commands;
mod hostile_components;
mod hostile_payload;
mod hostile_servers;
mod hostile_sql;
mod in_doubt;
mod lifecycle;
mod openemr;
mod operators;
mod read_only;
mod refusals;
mod several_hosts;
mod shown;
mod slow_server;
mod support;
mod swap;
mod swap_under_load;
mod trouble;
