//! stub
pub struct Trace;
pub struct Step;
