//! umbra among others: programs, rules, marks, filters and meshes that somebody else has put into the same namespace. What
//! they are for goes on as before; clients are served, and copies arrive or the agent says why not.

#![allow(clippy::unwrap_used, reason = "a suite fails where it stands")]

mod filters;
mod foreign;
mod mesh;
mod place;
mod programs;
mod rules;
