//! Volumes: a directory each with `lower`, `tmp` and `merged`, over which init mounts an overlay.

use super::Error;
use super::filter::{ResolvConf, filtered};
use super::work::{Work, tree_error};
use crate::base::Metadata;
use crate::oci::{OCI_LAYOUT, layout_index};
use crate::spec::{Located, Volume, VolumeFormat};
use crate::tree::{Content, Node};

/// Where a volume is in the root.
pub(super) fn directory(name: &str) -> String {
    format!("containers/volumes/{name}")
}

impl Work<'_> {
    /// Adds all volumes.
    pub(super) fn add_volumes(&mut self) -> Result<(), Error> {
        self.spec.volumes.iter().try_for_each(|volume| self.add_volume(volume))
    }

    fn add_volume(&mut self, volume: &Volume) -> Result<(), Error> {
        let error = || tree_error(format!("volume `{}`", volume.name.value), volume.name.place);
        let directory = directory(&volume.name.value);
        let lower = format!("{directory}/lower");
        self.root.directory(lower.as_bytes()).map_err(error())?;
        match &volume.image {
            Some(reference) if volume.format == VolumeFormat::Oci => self.add_layout(&lower, volume, reference)?,
            Some(reference) => {
                let image = self.images.take(reference);
                self.note_laid(reference, &lower, &image.tree)?;
                let tree = filtered(image, ResolvConf::Linked).map_err(error())?;
                self.root.graft(lower.as_bytes(), tree).map_err(error())?;
            }
            None => {}
        }
        for part in ["tmp", "merged"] {
            let path = format!("{directory}/{part}");
            self.root.insert(path.as_bytes(), Node::Plain(Metadata::directory())).map_err(error())?;
        }
        Ok(())
    }

    /// The image itself as an OCI layout.
    fn add_layout(&mut self, lower: &str, volume: &Volume, reference: &Located<String>) -> Result<(), Error> {
        let Located { value, place } = reference;
        let image = self.supply.stored(self.images.stored(reference), &volume.platforms);
        let image = image.map_err(|source| Error::Image { reference: value.clone(), place: *place, source })?;
        let old = |metadata| Metadata { mtime: 0, ..metadata };
        let mut put = |path: String, node: Node<'_>| {
            let error = tree_error(format!("volume `{}`", volume.name.value), *place);
            self.root.insert(path.as_bytes(), node).map_err(error)
        };
        put(format!("{lower}/oci-layout"), Node::Generated(old(Metadata::file()), OCI_LAYOUT.as_bytes()))?;
        put(format!("{lower}/blobs"), Node::Plain(old(Metadata::directory())))?;
        put(format!("{lower}/blobs/sha256"), Node::Plain(old(Metadata::directory())))?;
        let index = layout_index(&image.root, &image.reference);
        put(format!("{lower}/index.json"), Node::Generated(old(Metadata::file()), &index))?;
        for (digest, blob) in image.blobs {
            let path = format!("{lower}/blobs/sha256/{}", digest.hex());
            put(path, Node::File(old(Metadata::file()), Content::whole(blob)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::sample::{assemble_with, image, text_in, tree};

    #[test]
    fn a_volume_has_its_three_directories() {
        let text = "volumes: [{name: blank, readonly: true}, {name: full, image: q.io/a}]";
        let root = assemble_with(text, &|reference| image(reference, tree(&["bin/x=1"]))).unwrap().tree;
        for path in ["blank/lower", "blank/tmp", "blank/merged", "full/tmp", "full/merged", "full/lower/bin/x"] {
            assert!(root.find(format!("containers/volumes/{path}").as_bytes()).is_some(), "{path}");
        }
        let link = root.find(b"containers/volumes/full/lower/etc/resolv.conf").unwrap();
        assert_eq!(root.link_target(link), b"/run/resolvconf/resolv.conf");
    }

    #[test]
    fn an_oci_volume_is_an_oci_layout() {
        let text = "volumes: [{name: v, image: q.io/stored, format: oci}]";
        let root = assemble_with(text, &|_| unreachable!("no files are laid out")).unwrap().tree;
        let lower = "containers/volumes/v/lower";
        assert_eq!(text_in(&root, &format!("{lower}/oci-layout")), OCI_LAYOUT);
        let index: serde_json::Value = serde_json::from_str(&text_in(&root, &format!("{lower}/index.json"))).unwrap();
        let digest = crate::base::Digest::of(b"{}");
        let expected = serde_json::json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [{"mediaType": "m", "size": 2, "digest": digest.to_string(),
                "annotations": {"org.opencontainers.image.ref.name": "q.io/stored"}}]});
        assert_eq!(index, expected);
        assert_eq!(text_in(&root, &format!("{lower}/blobs/sha256/{}", digest.hex())), "{}");
    }
}
