//! What builds packages, as the command line and the environment say.

use std::collections::BTreeMap;

use crate::cli::args::PkgBuilder;
use crate::cli::report::Failure;
use crate::system::package::{Builder, DockerBuilder};

/// The builder that is asked for, or the first that is there, and what it is asked of docker's.
///
/// # Errors
/// When there is none, or docker is asked for something and is not to build.
pub fn chosen(args: &PkgBuilder) -> Result<(Builder, DockerBuilder), Failure> {
    let (named, docker) = check(args)?;
    let builder = match named {
        Some(builder) => builder,
        None if docker != DockerBuilder::default() => Builder::Docker,
        None => {
            let paths = std::env::var_os("PATH").unwrap_or_default();
            Builder::find(&paths, std::env::var_os("BUILDKIT_HOST").as_deref())?
        }
    };
    Ok((builder, docker))
}

/// What is asked for, before anything else is looked at.
///
/// # Errors
/// When it cannot be meant.
pub fn check(args: &PkgBuilder) -> Result<(Option<Builder>, DockerBuilder), Failure> {
    let PkgBuilder { builder, builder_name, builder_image, builder_config, builder_restart, builders } = args;
    let named = builder.as_deref().map(str::parse::<Builder>).transpose();
    let named = named.map_err(|error| Failure::usage(format!("--builder: {error}")))?;
    let docker = DockerBuilder {
        name: builder_name.clone(),
        image: builder_image.clone(),
        config: builder_config.clone(),
        restart: *builder_restart,
        contexts: builders.iter().map(|text| context(text)).collect::<Result<BTreeMap<_, _>, _>>()?,
    };
    if let Some(config) = builder_config.as_ref().filter(|config| !config.is_file()) {
        return Err(Failure::usage(format!("--builder-config: there is no file `{}`", config.display())));
    }
    match named {
        Some(other) if other != Builder::Docker && docker != DockerBuilder::default() => {
            let message = format!("`{}` has no builders by name, image, configuration or context", other.program());
            Err(Failure::usage(message).hint("these are docker's: leave them out, or build with `--builder docker`"))
        }
        _ => Ok((named, docker)),
    }
}

/// A platform and its context of docker.
fn context(text: &str) -> Result<(String, String), Failure> {
    let parts = text.split_once('=').filter(|(platform, context)| platform.contains('/') && !context.is_empty());
    let (platform, context) = parts.ok_or_else(|| {
        Failure::usage(format!("--builders: `{text}` is no platform with a context of docker"))
            .hint("write it as `linux/arm64=CONTEXT`")
    })?;
    Ok((platform.to_owned(), context.to_owned()))
}
