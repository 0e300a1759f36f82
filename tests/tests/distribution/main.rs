//! Where adapters come from: a real registry, files, https and its refusals, signatures, pins, and what a host that
//! runs does.

mod pins;
mod registry;
mod registry_access;
mod signatures;
mod support;
mod web;
