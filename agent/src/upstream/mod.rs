//! Connections to shadow endpoints.
