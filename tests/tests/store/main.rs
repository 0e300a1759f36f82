//! One suite of behaviour over every store: SQLite, MariaDB and PostgreSQL run the same protocol.

// The futures of a test and of the store that it calls are nested deeper than the default.
#![recursion_limit = "256"]

mod alerts;
mod audit;
mod batch_max;
mod carried_over;
mod changed_since;
mod claiming;
mod clinical;
mod conflicts;
mod connecting;
mod cost;
mod differential;
mod direct;
mod first_statement;
mod foreign;
mod holds;
mod in_doubt;
mod journal;
mod kept_statements;
mod large_answers;
mod learned;
mod low_ids;
mod merging;
mod migrating;
mod operators;
mod outbox;
mod outbox_page;
mod people;
mod references;
mod resend;
mod resend_under_load;
mod skipped;
mod spoilt;
mod statements;
mod support;
mod trace;
mod verification;
mod waiting;
mod why;
