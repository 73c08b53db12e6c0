//! Where configuration comes from: files and directories, and a cluster. Each source gives resources, and says when they may
//! have changed.

pub mod files;
pub mod kube;
mod watch;

pub use watch::{Watch, watch};
