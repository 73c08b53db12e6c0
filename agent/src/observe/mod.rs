//! Records in, views out. Nothing here can delay or fail what it observes: cells are bumped where the thing
//! happened, and everything else is computed when somebody asks.

mod all;
mod audit;
mod collect;
mod filter;
mod line;
mod live;
mod metrics;
mod queue;
mod seen;
#[cfg(test)]
mod testing;

pub use all::{All, Interest, Look};
pub use audit::Audit;
pub use collect::{Kind, Reading, Sample};
pub use filter::Filter;
pub use line::Line;
pub use live::{CLIENTS, Item, Live, MOST_KEPT, Tap};
pub use metrics::{Metrics, Recorder};
pub use seen::Seen;
