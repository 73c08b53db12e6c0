//! The shadow plane: everything behind [`Plane::offer`] runs on its own threads, within its own limits, and can be
//! late, wrong or dead without the primary noticing.
