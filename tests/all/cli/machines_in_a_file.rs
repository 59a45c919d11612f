//! OVA: a virtual machine in one file, judged by tar, an XML reader, sha256sum and qemu-img.

use std::ffi::OsStr;
use std::fs;

use super::system::{System, assert_says};
use crate::common::{have, run};

/// Prints what an XML reader finds in a descriptor.
const READER: &str = r#"
import sys, xml.etree.ElementTree as tree
ovf = "{http://schemas.dmtf.org/ovf/envelope/1}"
rasd = "{http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData}"
root = tree.parse(sys.argv[1]).getroot()
assert root.tag == ovf + "Envelope"
file, disk, machine = (next(root.iter(ovf + name)) for name in ("File", "Disk", "VirtualSystem"))
assert disk.get(ovf + "fileRef") == file.get(ovf + "id")
print(file.get(ovf + "href"), file.get(ovf + "size"), disk.get(ovf + "capacity"), machine.get(ovf + "id"))
items = {item.find(rasd + "InstanceID").text: item for item in root.iter(ovf + "Item")}
for number, item in items.items():
    assert [child.tag for child in item] == sorted(child.tag for child in item)
    parent = item.find(rasd + "Parent")
    assert parent is None or parent.text in items
    host = item.find(rasd + "HostResource")
    assert host is None or host.text == "ovf:/disk/" + disk.get(ovf + "diskId")
    print(item.find(rasd + "ResourceType").text, item.find(rasd + "ElementName").text)
"#;

#[test]
fn oracle_an_ova_has_the_disk_its_digests_and_hardware_that_an_xml_reader_understands() {
    if !have(&["tar", "python3", "sha256sum", "qemu-img", "cmp"]) {
        return;
    }
    let system = System::new();
    system.good("build -f ova -f raw-bios -f vmdk --name a&b a.yml");
    let path = |name: &str| system.path(name).to_str().unwrap().to_owned();
    assert_eq!(run("tar", ["-tf", &path("a&b.ova")]), "a&b.ovf\ndisk.vmdk\na&b.mf\n");
    fs::create_dir(system.path("out")).unwrap();
    run("tar", ["-C", &path("out"), "-xf", &path("a&b.ova")]);
    assert_eq!(run("cmp", [path("a&b.vmdk"), path("out/disk.vmdk")]), "");
    let compare = ["compare", "-f", "raw", "-F", "vmdk", &path("a&b-bios.img"), &path("out/disk.vmdk")];
    assert_eq!(run("qemu-img", compare).trim(), "Images are identical.");
    let size = |name: &str| fs::metadata(system.path(name)).unwrap().len();
    let told = run("python3", ["-c", READER, &path("out/a&b.ovf")]);
    let first = format!("disk.vmdk {} {} a&b\n", size("out/disk.vmdk"), size("a&b-bios.img"));
    assert_eq!(told, first + "3 Processors\n4 Memory\n6 SCSI Controller\n17 Disk\n10 Ethernet\n");
    for line in fs::read_to_string(system.path("out/a&b.mf")).unwrap().lines() {
        let (name, digest) = line.strip_prefix("SHA256(").unwrap().split_once(")= ").unwrap();
        assert_eq!(run("sha256sum", [path(&format!("out/{name}"))])[..64], *digest, "{name}");
    }
}

#[test]
fn fuse_a_mounted_ova_is_the_one_that_is_written() {
    let system = System::new();
    let Some(mounted) = system.mounted() else { return };
    // The digests are the same where they are read before the disk is.
    let end = run("tail", [OsStr::new("-c10240"), mounted.path("a.ova").as_os_str()]);
    assert_says(&end, &["SHA256(disk.vmdk)= "]);
    system.good("build -f ova a.yml");
    assert_eq!(run("cmp", [&system.path("a.ova"), &mounted.path("a.ova")]), "");
}
