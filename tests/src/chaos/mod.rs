//! Chaos: several hosts on one store, an OpenEMR database and a FHIR server, an application that keeps changing
//! patients, and a saboteur with a seed. In the end everything is well again, and the books must balance.
//!
//! The run owns everything that it breaks: private servers, proxies before them, hosts in folders of their own. The
//! hosts are the binary that users get; nothing in it knows of this module. What was broken and when depends on the
//! seed alone; how the processes meet it depends on the machine, so that a seed makes a failure likely again and not
//! certain.
//!
//! `world` has the servers and their proxies, `fleet` the hosts, `writer` with `clinical` and `rival` the applications
//! at both ends, `saboteur` the faults. In the end `evidence` reads what is where, and `verdict` with `records` finds
//! what is wrong with that: they are pure and have their own tests, since a check that cannot fail proves nothing.
//! `agreement` does the same with what the hosts tell of themselves. At last `questions` asks `host why` about known
//! causes.
//! Read next: `run.rs`.

mod agreement;
mod clinical;
mod evidence;
mod faults;
mod fleet;
mod questions;
mod records;
mod resources;
mod rival;
mod run;
mod saboteur;
mod verdict;
mod world;
mod writer;

pub use run::{Options, run};
pub use world::StoreKind;
