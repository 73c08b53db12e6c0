//! The meaning of rules, one sentence a test. Numbers of traps are those of Istio's semantics as the project notes them.

mod build;
mod copies;
mod delegates;
mod exposure;
mod hosts;
mod inbound;
mod incremental;
mod matching;
mod mirrors;
mod property;
mod reports;
mod routes;
