//! Records in, views out. Nothing here can delay or fail what it observes: cells are bumped where the thing
//! happened, and everything else is computed when somebody asks.

mod all;
mod collect;
mod format;
mod istio;
mod line;
mod metrics;
mod mix;

pub use all::{All, Interest, Look};
pub use collect::{Kind, Reading, Sample};
pub use format::Format;
pub use line::Line;
pub use metrics::{Metrics, Recorder};
pub use mix::{Mix, Tally};
