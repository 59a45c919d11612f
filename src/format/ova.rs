//! An OVA: a virtual machine in one file, as VMware, VirtualBox and Proxmox import it. A tar with a description of the
//! machine's hardware, its disk, and the digests of both.
//!
//! ```text
//! N.ovf | disk.vmdk | N.mf
//! ```
//!
//! The digests come last, so a copy in order has hashed the disk when it arrives there.
//!
//! # Format
//! DMTF DSP0243 "Open Virtualization Format Specification" 1.1: section 5.3 (distribution as a single file: ustar), 5.1
//! (manifest), 7 and 8 (descriptor); CIM_ResourceAllocationSettingData for the numbers of `rasd:ResourceType`.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Error, Member, tar};
use crate::base::{Digest, Hasher, Metadata};
use crate::extent::{Bytes, Origin, ReadError, SharedSource, Slice, Source, Traced, Visit, read_through, trace_as};
use crate::tree::TreeBuilder;

/// Name of the disk in the archive: one that needs no escapes in a URI.
const DISK: &str = "disk.vmdk";
/// What the machine gets: the same as of `lkit run`.
const MEMORY_MIB: u64 = 1024;
const PROCESSORS: u64 = 1;

/// A machine with one disk.
pub struct Ova<'a> {
    /// Its name.
    pub name: &'a str,
    /// The disk as a stream-optimized VMDK.
    pub vmdk: SharedSource,
    /// Size of the disk itself in bytes.
    pub disk_size: u64,
    /// Whether it starts by UEFI alone.
    pub uefi: bool,
}

impl Ova<'_> {
    /// Lays out the archive.
    ///
    /// # Errors
    /// When XML cannot hold the name.
    pub fn layout(&self) -> Result<SharedSource, Error> {
        let ovf: SharedSource = Arc::new(Bytes(self.descriptor()?.into_bytes().into()));
        let disk = Arc::new(Hashed { source: self.vmdk.clone(), done: Mutex::default() });
        let ovf_name = format!("{}.ovf", self.name);
        let manifest = Manifest { ovf_name: ovf_name.clone(), ovf: ovf.clone(), disk: disk.clone() };
        let members = [(ovf_name, ovf), (DISK.to_owned(), disk), (format!("{}.mf", self.name), Arc::new(manifest))];
        let member = |(path, content)| Member { path, metadata: Metadata::file(), content: Some(content) };
        tar(members.map(member).into(), Arc::new(TreeBuilder::new().finish()))
    }

    /// The descriptor, with hardware that VMware and VirtualBox both have.
    fn descriptor(&self) -> Result<String, Error> {
        let unheld = || Error::Unheld { path: self.name.to_owned(), what: "a character", format: "an OVF descriptor" };
        let name = escaped(self.name).ok_or_else(unheld)?;
        let firmware = match self.uefi {
            true => "\n      <vmw:Config ovf:required=\"false\" vmw:key=\"firmware\" vmw:value=\"efi\"/>",
            false => "",
        };
        Ok(DESCRIPTOR
            .replace("{disk}", DISK)
            .replace("{size}", &self.vmdk.size().to_string())
            .replace("{capacity}", &self.disk_size.to_string())
            .replace("{hardware}", &hardware().concat())
            .replace("{firmware}", firmware)
            .replace("{name}", &name))
    }
}

const DESCRIPTOR: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData" xmlns:vmw="http://www.vmware.com/schema/ovf">
  <References>
    <File ovf:id="file1" ovf:href="{disk}" ovf:size="{size}"/>
  </References>
  <DiskSection>
    <Info>Virtual disks</Info>
    <Disk ovf:diskId="disk1" ovf:fileRef="file1" ovf:capacity="{capacity}" ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>
  </DiskSection>
  <NetworkSection>
    <Info>Networks</Info>
    <Network ovf:name="VM Network">
      <Description>The network of the machine</Description>
    </Network>
  </NetworkSection>
  <VirtualSystem ovf:id="{name}">
    <Info>A virtual machine</Info>
    <Name>{name}</Name>
    <OperatingSystemSection ovf:id="101" vmw:osType="otherLinux64Guest">
      <Info>The operating system: Linux, 64 bits</Info>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>Virtual hardware</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>{name}</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>vmx-13</vssd:VirtualSystemType>
      </System>
{hardware}{firmware}
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"#;

/// The items of the hardware; the elements of an item are in the order of the alphabet, as their schema wants them.
fn hardware() -> [String; 5] {
    let (processors, memory) = (PROCESSORS.to_string(), MEMORY_MIB.to_string());
    [
        item(&[
            ("AllocationUnits", "hertz * 10^6"),
            ("ElementName", "Processors"),
            ("InstanceID", "1"),
            ("ResourceType", "3"),
            ("VirtualQuantity", &processors),
        ]),
        item(&[
            ("AllocationUnits", "byte * 2^20"),
            ("ElementName", "Memory"),
            ("InstanceID", "2"),
            ("ResourceType", "4"),
            ("VirtualQuantity", &memory),
        ]),
        item(&[
            ("Address", "0"),
            ("ElementName", "SCSI Controller"),
            ("InstanceID", "3"),
            ("ResourceSubType", "lsilogic"),
            ("ResourceType", "6"),
        ]),
        item(&[
            ("AddressOnParent", "0"),
            ("ElementName", "Disk"),
            ("HostResource", "ovf:/disk/disk1"),
            ("InstanceID", "4"),
            ("Parent", "3"),
            ("ResourceType", "17"),
        ]),
        item(&[
            ("AddressOnParent", "1"),
            ("AutomaticAllocation", "true"),
            ("Connection", "VM Network"),
            ("ElementName", "Ethernet"),
            ("InstanceID", "5"),
            ("ResourceSubType", "E1000"),
            ("ResourceType", "10"),
        ]),
    ]
}

fn item(elements: &[(&str, &str)]) -> String {
    let element = |(name, value): &(&str, &str)| format!("        <rasd:{name}>{value}</rasd:{name}>\n");
    format!("      <Item>\n{}      </Item>\n", elements.iter().map(element).collect::<String>())
}

/// A text for XML; `None` where XML has no such character (XML 1.0, section 2.2).
fn escaped(text: &str) -> Option<String> {
    let is_char = |c: char| c >= ' ' && !matches!(c, '\u{fffe}' | '\u{ffff}');
    text.chars().all(is_char).then(|| {
        let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        escaped.replace('"', "&quot;").replace('{', "&#123;")
    })
}

/// A source that hashes what is read of it in order, from its start.
struct Hashed {
    source: SharedSource,
    done: Mutex<Done>,
}

/// The hash of the first `len` bytes.
#[derive(Clone, Default)]
struct Done {
    len: u64,
    hasher: Hasher,
}

impl Hashed {
    /// The digest; reads only what nobody has read in order before.
    fn digest(&self) -> Result<Digest, ReadError> {
        let Done { len, mut hasher } = self.done.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let rest = Slice::new(self.source.clone(), len, self.source.size() - len)?;
        read_through(&rest, &mut |bytes| hasher.update(bytes))?;
        let done = Done { len: self.source.size(), hasher: hasher.clone() };
        *self.done.lock().unwrap_or_else(PoisonError::into_inner) = done;
        Ok(hasher.finish())
    }
}

impl Source for Hashed {
    fn size(&self) -> u64 {
        self.source.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        self.source.read_at(buf, offset)?;
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        if done.len == offset {
            done.hasher.update(buf);
            done.len += buf.len() as u64;
        }
        Ok(())
    }

    fn will_read(&self, range: Range<u64>) {
        self.source.will_read(range);
    }

    fn renew(&self) -> bool {
        self.source.renew()
    }

    fn data_from(&self, offset: u64) -> Option<Range<u64>> {
        self.source.data_from(offset)
    }

    fn data_len(&self, range: Range<u64>) -> u64 {
        self.source.data_len(range)
    }

    fn trace(&self, range: Range<u64>, visit: &mut Visit<'_>) -> Traced {
        self.source.trace(range, visit)
    }
}

/// The digests of descriptor and disk, computed when they are read.
struct Manifest {
    ovf_name: String,
    ovf: SharedSource,
    disk: Arc<Hashed>,
}

impl Manifest {
    fn text(&self, ovf: &Digest, disk: &Digest) -> String {
        format!("SHA256({})= {}\nSHA256({DISK})= {}\n", self.ovf_name, ovf.hex(), disk.hex())
    }
}

impl Source for Manifest {
    fn size(&self) -> u64 {
        let any = Digest::from_bytes([0; 32]);
        self.text(&any, &any).len() as u64
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        let mut ovf = Hasher::default();
        read_through(&*self.ovf, &mut |bytes| ovf.update(bytes))?;
        Bytes(self.text(&ovf.finish(), &self.disk.digest()?).into_bytes().into()).read_at(buf, offset)
    }

    fn trace(&self, range: Range<u64>, visit: &mut Visit<'_>) -> Traced {
        trace_as(Origin::Checksum, &range, visit)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::base::{MIB, in_memory};

    /// Counts the bytes that are read.
    struct Counting(u64, AtomicU64);

    impl Source for Counting {
        fn size(&self) -> u64 {
            self.0
        }

        fn read_at(&self, buf: &mut [u8], _: u64) -> Result<(), ReadError> {
            self.1.fetch_add(buf.len() as u64, Ordering::Relaxed);
            buf.fill(7);
            Ok(())
        }
    }

    fn ova(name: &str, vmdk: SharedSource) -> Result<SharedSource, Error> {
        Ova { name, vmdk, disk_size: 5 * MIB, uefi: false }.layout()
    }

    #[test]
    fn lazy_a_copy_in_order_reads_the_disk_once_and_has_its_digest() {
        let disk = Arc::new(Counting(3 * MIB + 5, AtomicU64::new(0)));
        let source = ova("a", disk.clone()).unwrap();
        let mut whole = Vec::new();
        read_through(&*source, &mut |bytes| whole.extend_from_slice(bytes)).unwrap();
        assert_eq!(disk.1.load(Ordering::Relaxed), 3 * MIB + 5);
        let digest = Digest::of(&vec![7; in_memory(3 * MIB + 5)]);
        let line = format!("SHA256(disk.vmdk)= {}\n", digest.hex());
        assert!(String::from_utf8_lossy(&whole[whole.len() - 2048..]).contains(&line));
        // The end first: the same digest.
        let source = ova("a", Arc::new(Counting(3 * MIB + 5, AtomicU64::new(0)))).unwrap();
        let mut end = vec![0; 2048];
        source.read_at(&mut end, source.size() - 2048).unwrap();
        assert_eq!(end, whole[whole.len() - 2048..]);
    }

    #[test]
    fn names_are_escaped_and_what_xml_has_no_character_for_is_refused() {
        let text =
            |name, uefi| Ova { name, vmdk: Arc::new(crate::extent::Zeros(9)), disk_size: 5 * MIB, uefi }.descriptor();
        let plain = text("a<&\">{disk}", false).unwrap();
        assert!(plain.contains("<Name>a&lt;&amp;&quot;&gt;&#123;disk}</Name>"), "{plain}");
        assert!(plain.contains("ovf:capacity=\"5242880\"") && plain.contains("ovf:size=\"9\""));
        assert!(!plain.contains("firmware") && text("a", true).unwrap().contains("vmw:value=\"efi\""));
        let error = text("a\u{1}", false).unwrap_err().to_string();
        assert_eq!(error, "`a\u{1}` has a character that an OVF descriptor cannot hold");
    }
}
