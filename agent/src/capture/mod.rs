//! Connections in: the eBPF program that hands new connections of a network namespace to the agent, the listeners
//! it hands them to, and the way back to the application. eBPF names live in this folder only.
