//! Bills of materials: from attestations in an image index, and from databases of packages.

use std::fs;

use serde_json::{Value, json};

use super::system::{assert_says, tar};
use crate::common::layout::digest_of;
use crate::common::registry::{DockerRegistry, Door};
use crate::common::workshop::{ARCH, Workshop};
use crate::common::{lkit, stdout};

const INIT: &str = "init: [q.io/attested, q.io/deb]";
const STATUS: &[u8] = b"Package: zlib1g\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:1.2.13\n\n";

/// An SPDX document as BuildKit's scanner writes one, in short.
fn statement() -> String {
    let document = json!({
        "spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "name": "sbom",
        "packages": [{"SPDXID": "SPDXRef-Package-go-module-x", "name": "x", "versionInfo": "v1.0.0",
                      "downloadLocation": "NOASSERTION", "licenseDeclared": "MIT",
                      "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                                        "referenceLocator": "pkg:golang/x@v1.0.0"}]}],
        "files": [{"SPDXID": "SPDXRef-File-bin-x", "fileName": "/bin/x",
                   "checksums": [{"algorithm": "SHA1", "checksumValue": "0".repeat(40)}]}],
        "relationships": [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES",
                           "relatedSpdxElement": "SPDXRef-Package-go-module-x"}],
    });
    json!({"_type": "https://in-toto.io/Statement/v0.1", "predicateType": "https://spdx.dev/Document",
           "subject": [], "predicate": document})
    .to_string()
}

/// A workshop whose image `attested` has this attestation.
fn shop(statement: &[u8]) -> Workshop {
    let mut shop = Workshop::new();
    let image =
        shop.described(ARCH, &[tar(&[("bin/x", b"x"), ("var/lib/dpkg/status", b"Package: never\n")])], json!({}));
    let mut layer = shop.layout.described("application/vnd.in-toto+json", statement);
    layer["annotations"] = json!({"in-toto.io/predicate-type": "https://spdx.dev/Document"});
    let mut other = shop.layout.described("application/vnd.in-toto+json", b"{}");
    other["annotations"] = json!({"in-toto.io/predicate-type": "https://slsa.dev/provenance/v0.2"});
    let config = json!({"architecture": "unknown", "os": "unknown"}).to_string();
    let mut attestation = shop.manifest("unknown", &config, &[other, layer]);
    attestation["platform"] = json!({"architecture": "unknown", "os": "unknown"});
    attestation["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest",
                                        "vnd.docker.reference.digest": image["digest"]});
    let index = shop.layout.index(&[image, attestation]);
    shop.layout.name("q.io/attested:latest", &index);
    shop.image_of_tars("deb", &[tar(&[("var/lib/dpkg/status", STATUS)])]);
    shop.write("x.yml", INIT);
    shop
}

/// The bill of the tar that a build streams.
fn bill(shop: &Workshop, options: &str, path: &str) -> Value {
    let output = shop.output(&format!("build -f tar {options} -o - x.yml"));
    crate::common::stdout("build", &output);
    let entries = crate::common::entries::of_tar(&output.stdout);
    let root = crate::common::workshop::Root(entries);
    // Mode 0644 and owner root go without saying.
    assert!(root.line(path).starts_with(&format!("{path} = ")), "{}", root.line(path));
    serde_json::from_slice(root.content(path)).unwrap()
}

fn texts<'a>(bill: &'a Value, list: &str, key: &str) -> Vec<&'a str> {
    bill[list].as_array().unwrap().iter().filter_map(|one| one[key].as_str()).collect()
}

#[test]
fn a_bill_tells_what_attestations_and_databases_say() {
    let shop = shop(statement().as_bytes());
    let bill = bill(&shop, "--sbom", "sbom.spdx.json");
    assert_eq!(texts(&bill, "packages", "name"), ["x", "q.io/deb", "zlib1g"]);
    let ids = ["SPDXRef-1-Package-go-module-x", "SPDXRef-2-image", "SPDXRef-2-package-1"];
    assert_eq!(texts(&bill, "packages", "SPDXID"), ids);
    assert_eq!(texts(&bill, "relationships", "relatedSpdxElement"), ids);
    assert_eq!(texts(&bill, "files", "fileName"), ["bin/x"]);
    let url = &bill["packages"][2]["externalRefs"][0]["referenceLocator"];
    assert_eq!(url, "pkg:deb/debian/zlib1g@1%3A1.2.13?arch=amd64");
    assert_eq!((&bill["spdxVersion"], &bill["SPDXID"]), (&json!("SPDX-2.3"), &json!("SPDXRef-DOCUMENT")));
}

#[test]
fn an_attestation_in_an_index_within_an_index_speaks_for_its_image() {
    let mut shop = shop(statement().as_bytes());
    let index: Value = serde_json::from_slice(&fs::read(shop.layout.dir.join("index.json")).unwrap()).unwrap();
    let attested = &index["manifests"].as_array().unwrap()[0];
    let inner = json!({"mediaType": attested["mediaType"], "digest": attested["digest"], "size": attested["size"]});
    // Of another platform, and not here.
    let absent = json!({"mediaType": "application/vnd.oci.image.index.v1+json", "size": 3,
                        "digest": lkit::base::Digest::of(b"absent").to_string()});
    let other = shop.layout.index(&[]);
    let outer = shop.layout.index(&[other, shop.layout.index(std::slice::from_ref(&inner)), absent]);
    shop.layout.name("q.io/attested:latest", &outer);
    shop.write("x.yml", "init: [q.io/attested]");
    assert_eq!(texts(&bill(&shop, "--sbom", "sbom.spdx.json"), "packages", "name"), ["x"]);
    let many: Vec<Value> = (0..64)
        .map(|number| shop.layout.index(&[json!({"mediaType": "x", "size": number, "digest": inner["digest"]})]))
        .collect();
    let crowd = shop.layout.index(&[vec![inner], many].concat());
    shop.layout.name("q.io/attested:latest", &crowd);
    let said = shop.bad("build --sbom -f tar -o - x.yml", 1);
    assert_says(&said, &["cannot make the SBOM of image `q.io/attested`", "has over 64 image indexes inside it"]);
    shop.good("build -f tar -o out.tar x.yml");
}

#[test]
fn a_bill_is_written_in_the_format_and_place_that_are_asked_for() {
    let shop = shop(statement().as_bytes());
    let bill = bill(&shop, "--sbom-format cyclonedx --sbom-output /usr/share/bill.json", "usr/share/bill.json");
    assert_eq!(
        texts(&bill, "components", "purl"),
        ["pkg:golang/x@v1.0.0", "pkg:deb/debian/zlib1g@1%3A1.2.13?arch=amd64"]
    );
    assert_eq!(texts(&bill, "components", "type"), ["library", "container", "library"]);
    assert_eq!(bill["metadata"]["timestamp"], "2017-04-18T16:30:00Z");
    assert_says(&shop.bad("build --sbom-output ../x x.yml", 2), &["`../x` is no path of a file in the root"]);
}

#[test]
fn the_same_specs_have_the_same_bill_and_none_unless_it_is_asked_for() {
    let shop = shop(statement().as_bytes());
    let digest = |options: &str| shop.good(&format!("build --digest -f tar {options} x.yml"));
    assert_eq!(digest("--sbom"), digest("--sbom --cache other"));
    assert_eq!(digest("--name x"), digest("--sbom --no-sbom"));
    assert_ne!(digest("--sbom"), digest("--name x"));
    let now = bill(&shop, "--sbom-current-time", "sbom.spdx.json");
    assert_ne!(now["creationInfo"]["created"], "2017-04-18T16:30:00Z");
}

#[test]
fn an_attestation_that_is_damaged_or_missing_is_an_error_of_its_image() {
    let whole = statement();
    let cut = shop(&whole.as_bytes()[..300]);
    let said = cut.bad("build --sbom -f tar -o - x.yml", 5);
    assert_says(
        &said,
        &["cannot make the SBOM of image `q.io/attested`", "x.yml:1:8", "EOF while parsing", "--no-sbom"],
    );
    let shop = shop(whole.as_bytes());
    let blob = shop.layout.described("x", whole.as_bytes());
    fs::remove_file(shop.layout.path(&digest_of(&blob))).unwrap();
    let said = shop.bad("build --sbom -f tar -o - x.yml", 4);
    assert_says(&said, &["cannot make the SBOM of image `q.io/attested`", "is in no layout and not in the cache"]);
    shop.good("build -f tar -o out.tar x.yml");
}

#[test]
fn oracle_docker_registry_a_pull_brings_the_attestation_for_builds_offline() {
    let shop = shop(statement().as_bytes());
    let Some(registry) = DockerRegistry::start(&shop.path("registry"), Door::Open) else { return };
    registry.push(&shop.layout.dir, "q.io/attested:latest", "acme/attested:1");
    let name = format!("{}/acme/attested:1", registry.host());
    let run = |line: &str| {
        let output = lkit(&shop.path("cache")).current_dir(shop.dir.path()).args(line.split(' ')).output().unwrap();
        stdout(line, &output);
    };
    run(&format!("cache pull --platform linux/amd64 {name}"));
    drop(registry);
    shop.write("y.yml", format!("init: ['{name}']\n"));
    run("build --offline --arch amd64 --sbom -f tar -o y.tar y.yml");
    let root = crate::common::workshop::Root(crate::common::entries::of_tar(&fs::read(shop.path("y.tar")).unwrap()));
    let bill: Value = serde_json::from_slice(root.content("sbom.spdx.json")).unwrap();
    assert_eq!(texts(&bill, "packages", "name"), ["x"]);
}
