//! The options of images for AWS Nitro Enclaves: a second spec, images in the place of specs, a key and its certificate.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::report::Failure;
use super::settings::Settings;
use super::{args, specs};
use crate::base::{ErrorKind, Fault as _};
use crate::blob::open_regular;
use crate::oci::{ParseReferenceError, Reference};
use crate::output::{Signer, SignerError, SigningCertificate};
use crate::system::{Application, Input, kernel_image_spec};

/// Largest file of a key or certificate in bytes.
const LARGEST: u64 = 64 << 10;

impl args::EifApplication {
    /// Puts the option into settings.
    pub fn apply(&self, settings: &mut Settings) {
        settings.options.application = self.eif_application.as_ref().map(|spec| Application::Spec(Input::named(spec)));
    }
}

impl args::EifImages {
    /// Has settings follow the options; the specs of these names, or what stands in their place.
    ///
    /// # Errors
    /// When a text is no image reference.
    pub fn apply(&self, specs: &[PathBuf], settings: &mut Settings) -> Result<Vec<Input>, Failure> {
        if let Some(image) = &self.image {
            let image = reference("--image", image)?;
            if self.kernel_image.is_some() && settings.options.name.is_none() {
                settings.options.name = image.repository().rsplit('/').next().map(str::to_owned);
            }
            settings.options.application = Some(Application::Image(Box::new(image)));
        }
        let Some(kernel) = &self.kernel_image else { return Ok(specs::inputs(specs)) };
        settings.options.kernel_image = true;
        Ok(vec![kernel_image_spec(&reference("--kernel-image", kernel)?)])
    }
}

/// The image that an option names.
///
/// # Errors
/// When the text is no reference.
pub fn reference(option: &str, text: &str) -> Result<Reference, Failure> {
    text.parse().map_err(|error: ParseReferenceError| {
        Failure::caused(ErrorKind::Usage, format!("{option}: `{text}` is no image reference"), &error)
    })
}

impl args::EifSignature {
    /// Puts the options into settings.
    ///
    /// # Errors
    /// When a file cannot be read, is not what it should be, or the two do not belong together.
    pub fn apply(&self, settings: &mut Settings) -> Result<(), Failure> {
        if let (Some(key), Some(certificate)) = (&self.eif_key, &self.eif_certificate) {
            let signer = Signer::new(&read("--eif-key", key)?, certificate_of(certificate)?);
            let signer = signer.map_err(|error| match error {
                SignerError::Key => refused("--eif-key", key, &error),
                SignerError::Certificate | SignerError::OtherKey => refused("--eif-certificate", certificate, &error),
            })?;
            settings.options.signer = Some(Arc::new(signer));
        }
        Ok(())
    }
}

/// The certificate in a file.
///
/// # Errors
/// When the file cannot be read or has none.
pub fn certificate_of(path: &Path) -> Result<SigningCertificate, Failure> {
    let certificate = SigningCertificate::new(&read("--eif-certificate", path)?);
    certificate.map_err(|error| refused("--eif-certificate", path, &error))
}

fn read(option: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = open_regular(path).and_then(|file| file.take(LARGEST).read_to_end(&mut bytes));
    read.map_err(|error| Failure::io(format!("{option}: cannot read `{}`", path.display()), &error))?;
    Ok(bytes)
}

fn refused(option: &str, path: &Path, error: &SignerError) -> Failure {
    let failure = Failure::usage(format!("{option}: `{}` cannot be used: {error}", path.display()));
    failure.hint(error.hint().unwrap_or_default())
}
