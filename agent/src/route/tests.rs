//! The meaning of rules, one sentence a test. Numbers of traps are those of Istio's semantics as the project notes them.

mod authority;
mod build;
mod clients;
mod copies;
mod delegates;
mod endpoints;
mod exposure;
mod guests;
mod hosts;
mod inbound;
mod incremental;
mod matching;
mod mirrors;
mod policies;
mod reports;
mod routes;
mod settings;
mod traps;
