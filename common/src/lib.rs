//! Types shared by the eBPF programs and the agent. Everything is byte arrays in network order: no padding, no
//! alignment, so map keys compare the same on both sides.
#![no_std]
