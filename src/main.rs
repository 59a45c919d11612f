//! The `lkit` program: calls the command line and nothing else.

fn main() {}
