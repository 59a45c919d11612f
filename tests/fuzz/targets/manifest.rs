//! Manifests and image indexes.
#![no_main]

lkit_fuzz::target!(manifest);
