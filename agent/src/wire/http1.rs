//! The passive HTTP/1.x reader.
