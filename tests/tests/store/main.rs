//! One suite of behaviour over every store: SQLite, MariaDB and PostgreSQL run the same protocol.

mod claiming;
mod conflicts;
mod differential;
mod cost;
mod migrating;
mod outbox;
mod people;
mod support;
