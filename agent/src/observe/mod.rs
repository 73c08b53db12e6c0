//! Records in, views out. Nothing here can delay or fail what it observes: cells are bumped where the thing
//! happened, and everything else is computed when somebody asks.

mod collect;
mod metrics;

pub use collect::{Kind, Reading, Sample};
pub use metrics::{Metrics, Recorder};
