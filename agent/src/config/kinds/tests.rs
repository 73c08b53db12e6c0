//! What each kind refuses and warns of, by the one fault it gives; and what reads without any.

mod agent;
mod destinations;
mod kubernetes;
mod matches;
mod policies;
mod routes;
mod rules;
