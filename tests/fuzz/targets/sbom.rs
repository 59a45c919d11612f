//! Attestations of images, and databases of packages.
#![no_main]

lkit_fuzz::target!(sbom);
