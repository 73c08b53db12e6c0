//! Where configuration comes from: files and directories today. Each source gives resources, and says when they may
//! have changed.

pub mod files;
mod watch;

pub use watch::{Watch, watch};
