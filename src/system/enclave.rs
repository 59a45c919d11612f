//! What an image for an AWS Nitro Enclave is made of besides specs: images, each as a spec that says the same.

use super::Input;
use crate::oci::Reference;
use crate::rootfs::Part;
use crate::spec;

/// The application in an image for an enclave.
#[derive(Clone, Debug)]
pub enum Application {
    /// The root of a spec.
    Spec(Input),
    /// The files of an image, and what it starts.
    Image(Box<Reference>),
}

impl Application {
    /// Its spec.
    pub(super) fn input(&self) -> Input {
        match self {
            Self::Spec(input) => input.clone(),
            Self::Image(reference) => text("--image", format!("init: [\"{reference}\"]\n")),
        }
    }

    /// What its spec comes to.
    pub(super) const fn part(&self) -> Part {
        match self {
            Self::Spec(_) => Part::Application,
            Self::Image(_) => Part::ApplicationOfImage,
        }
    }
}

/// The spec of an enclave whose kernel and first ramdisk come from an image.
pub fn kernel_image_spec(reference: &Reference) -> Input {
    text("--kernel-image", format!("kernel: {{image: \"{reference}\"}}\n"))
}

/// A spec under the name of the option that stands for it.
fn text(option: &str, text: String) -> Input {
    Input::Text(spec::Input { name: option.to_owned(), text: text.into_bytes() })
}
