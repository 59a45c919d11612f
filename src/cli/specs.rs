//! The specs of a command line, loaded as its settings say.

use std::path::PathBuf;

use super::progress::Progress;
use super::report::Failure;
use super::settings::Settings;
use crate::spec::Parsed;
use crate::system::{self, Input, System};

/// The specs of these names.
pub fn inputs(names: &[PathBuf]) -> Vec<Input> {
    names.iter().map(Input::named).collect()
}

/// The system of these specs.
///
/// # Errors
/// What is wrong with specs, images or layers.
pub fn load(names: &[PathBuf], settings: &Settings, progress: &Progress) -> Result<System, Failure> {
    load_inputs(&inputs(names), settings, progress)
}

/// The system of these specs, wherever they are.
///
/// # Errors
/// What is wrong with specs, images or layers.
pub fn load_inputs(inputs: &[Input], settings: &Settings, progress: &Progress) -> Result<System, Failure> {
    load_parsed(system::parse(inputs, progress)?, inputs, settings, progress)
}

/// The same of specs that have been read.
///
/// # Errors
/// What is wrong with their references, images or layers.
pub fn load_parsed(
    parsed: Parsed,
    inputs: &[Input],
    settings: &Settings,
    progress: &Progress,
) -> Result<System, Failure> {
    let loaded = system::load_parsed(parsed, inputs, (&settings.origins, &settings.options), progress);
    progress.clear();
    Ok(loaded?)
}
