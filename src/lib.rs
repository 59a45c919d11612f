//! lkit
