//! `lkit measure`: what an AWS Nitro Enclave measures when it starts from the format `eif`.

use std::process::ExitCode;

use serde_json::json;

use crate::cli::enclave::certificate_of;
use crate::cli::log::Loudness;
use crate::cli::progress::Progress;
use crate::cli::report::{self, Failure};
use crate::cli::settings::Settings;
use crate::cli::{args, specs};
use crate::output::Pcr;

/// Prints PCR0, PCR1, PCR2, and PCR8 where there is a certificate, as text or as the JSON of `nitro-cli`.
pub fn run(args: args::Measure, loudness: Loudness) -> Result<ExitCode, Failure> {
    let certificate = args.eif_certificate.as_deref().map(certificate_of).transpose()?;
    let mut settings = Settings::new(args.system)?;
    args.eif.apply(&mut settings);
    let inputs = args.images.apply(&args.specs, &mut settings)?;
    let progress = Progress::new(loudness);
    let loaded = specs::load_inputs(&inputs, &settings, &progress)?;
    let measured = loaded.catalog.measurements()?;
    let mut registers = vec![("PCR0", measured.image), ("PCR1", measured.bootstrap), ("PCR2", measured.application)];
    registers.extend(certificate.map(|certificate| ("PCR8", certificate.pcr())));
    report::print(&if args.json { json(&registers) } else { text(&registers) })?;
    Ok(ExitCode::SUCCESS)
}

fn text(registers: &[(&str, Pcr)]) -> String {
    registers.iter().map(|(name, value)| format!("{name} {}\n", base16ct::lower::encode_string(value))).collect()
}

fn json(registers: &[(&str, Pcr)]) -> String {
    let mut measurements = json!({"HashAlgorithm": "Sha384 { ... }"});
    for (name, value) in registers {
        measurements[*name] = base16ct::lower::encode_string(value).into();
    }
    format!("{:#}\n", json!({"Measurements": measurements}))
}
