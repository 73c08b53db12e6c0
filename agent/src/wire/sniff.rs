//! Tells a connection's protocol from the first bytes the client sent, without ever waiting for more.
