//! One suite of behaviour over every store: SQLite, MariaDB and PostgreSQL run the same protocol.

mod batch_max;
mod carried_over;
mod claiming;
mod conflicts;
mod connecting;
mod cost;
mod differential;
mod direct;
mod first_statement;
mod foreign;
mod in_doubt;
mod kept_statements;
mod large_answers;
mod learned;
mod low_ids;
mod migrating;
mod operators;
mod outbox;
mod people;
mod references;
mod resend;
mod resend_under_load;
mod skipped;
mod spoilt;
mod statements;
mod support;
