//! Media types of manifests, image configs and layers, OCI's and docker's.
//!
//! # Format
//! OCI image specification 1.1, media-types.md, with the docker types it lists as compatible.

/// OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI image config.
pub(super) const OCI_CONFIG: &str = CONFIGS[0];
/// Docker's manifest list.
pub(super) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker's image manifest, schema 2.
pub(super) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// What lkit can make an image of; sent to registries.
pub(super) const ACCEPTED: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST];

/// Tars, and those that registries need not hold: where one does, or a layout has it, it is a layer as any other.
const TARS: [&str; 4] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
];

const CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

/// How a layer's media type says it is compressed. A hint: who reads the layer looks at its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// What stands behind the media type of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LayerType {
    /// A tar of the diff.
    Tar(Compression),
    /// Anything else, such as an attestation.
    Other,
}

/// Whether a blob of this type is an image's config.
pub(super) fn is_config(media_type: &str) -> bool {
    CONFIGS.contains(&media_type)
}

/// Whether a blob of this type is an image index.
pub(super) fn is_index(media_type: &str) -> bool {
    [OCI_INDEX, DOCKER_LIST].contains(&media_type)
}

/// Whether a blob of this type is an image manifest.
pub(super) fn is_manifest(media_type: &str) -> bool {
    [OCI_MANIFEST, DOCKER_MANIFEST].contains(&media_type)
}

/// What a layer of this type is.
pub(super) fn layer_type(media_type: &str) -> LayerType {
    match TARS.iter().find_map(|tar| media_type.strip_prefix(tar)) {
        Some("") => LayerType::Tar(Compression::None),
        Some("+gzip" | ".gzip") => LayerType::Tar(Compression::Gzip),
        Some("+zstd" | ".zstd") => LayerType::Tar(Compression::Zstd),
        _ => LayerType::Other,
    }
}

/// OCI's name for the type of a layer; `None` where it is none that is known.
pub(super) fn oci_type(media_type: &str) -> Option<String> {
    let (number, suffix) =
        TARS.iter().enumerate().find_map(|(number, tar)| Some((number, media_type.strip_prefix(tar)?)))?;
    // Each type of docker's stands behind the one of OCI's that is the same.
    let oci = TARS[number - number % 2];
    match layer_type(media_type) {
        LayerType::Tar(Compression::None) => Some(oci.to_owned()),
        LayerType::Tar(Compression::Gzip | Compression::Zstd) => Some(format!("{oci}+{}", &suffix[1..])),
        LayerType::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_known_under_both_families_of_names() {
        let rows = [
            ("application/vnd.oci.image.layer.v1.tar", LayerType::Tar(Compression::None)),
            ("application/vnd.oci.image.layer.v1.tar+gzip", LayerType::Tar(Compression::Gzip)),
            ("application/vnd.oci.image.layer.v1.tar+zstd", LayerType::Tar(Compression::Zstd)),
            ("application/vnd.docker.image.rootfs.diff.tar", LayerType::Tar(Compression::None)),
            ("application/vnd.docker.image.rootfs.diff.tar.gzip", LayerType::Tar(Compression::Gzip)),
            ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", LayerType::Tar(Compression::Gzip)),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", LayerType::Tar(Compression::Zstd)),
            ("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", LayerType::Other),
            ("application/vnd.in-toto+json", LayerType::Other),
        ];
        for (media_type, expected) in rows {
            assert_eq!(layer_type(media_type), expected, "{media_type}");
        }
    }
}
