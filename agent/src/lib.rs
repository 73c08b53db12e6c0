//! umbra mirrors live HTTP traffic to shadow services.
//!
//! ```text
//! capture ─▶ relay ─▶ wire ─▶ route ─▶ shadow ─▶ upstream
//!              the primary, verbatim      │ copies, on threads of their own
//!                                         ▼
//!                             record ─▶ observe
//! ```
//!
//! Read [`connection`] first: it tells what happens to one connection, from accept to record.

pub mod admin;
pub mod app;
pub mod capture;
pub mod cli;
pub mod config;
pub mod connection;
pub mod message;
pub mod observe;
pub mod process;
pub mod record;
pub mod relay;
pub mod route;
pub mod shadow;
pub mod source;
pub mod upstream;
pub mod wire;
