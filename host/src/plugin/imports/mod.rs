//! The functions that an adapter may call: the host's side of the interface. Each call is counted, and passed on to the
//! capability that the call was lent. Read next: `database.rs`.

mod database;
mod logging;
mod settings;
