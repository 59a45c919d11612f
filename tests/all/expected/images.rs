//! The images of the cases.

use serde_json::json;

use crate::common::entries::{Entry, Kind, tar_of, tar_of_all};
use crate::common::workshop::{ARCH, Workshop};

const LABEL: &str = "org.mobyproject.config";

/// Makes every image.
pub fn make(shop: &mut Workshop) {
    kernel(shop);
    shop.image("init", &["bin/\nbin/sh 755 = sh\nsbin/\nsbin/init -> ../bin/sh\nlib/apk/db/installed = P:init\\n"]);
    let packages = "lib/apk/db/installed = P:tools\\n\nbin/\nbin/tool 4755 = tool\nsbin/\nsbin/init 755 = mine";
    shop.image("tools", &[packages]);
    let command = json!({"Entrypoint": ["/app"], "Cmd": ["--serve"], "Env": ["A=1", "B=2"], "WorkingDir": "/srv",
                         "User": "nobody"});
    let lower = "app 755 = app\nsrv/ 700 5:6\nsrv/old = old\ndata/\ndata/lower = lower";
    let upper = "srv/.wh.old =\nsrv/new 640 5:6 = new\ndata/.wh..wh..opq =\ndata/upper => app\n.dockerenv =\netc/\n\
                 etc/hostname = builder\netc/hosts = old\ndev/\ndev/console 600 c5,1\ndev/zero 666 c1,5";
    shop.image_with("app", &[lower, upper], command);
    shop.image_with("plain", &["plain = 1"], json!({"Cmd": ["/plain"]}));
    let text = r#"{"capabilities": ["CAP_SYS_ADMIN", "CAP_CHOWN"], "binds": ["/a:/a"], "command": ["/labelled"],
        "readonly": true, "net": "new", "uid": 7, "hostname": "label", "env": ["L=1"],
        "runtime": {"mkdir": ["/m"], "cgroups": ["c"], "bindNS": {"net": "/run/n"}}}"#;
    shop.image_with("json", &["json = 1"], json!({"Cmd": ["/json"], "Labels": {LABEL: text}}));
    let text = "pid: host\ncapabilities: [all]\nsysctl: {a.b: '1'}\nresources: {pids: {limit: 5}}\n";
    shop.image_with("yaml", &["yaml = 1"], json!({"Entrypoint": ["/yaml"], "Labels": {LABEL: text}}));
    let [amd64, arm64] =
        [ARCH, "arm64"].map(|arch| shop.described(arch, &[tar_of(&format!("for = {arch}"))], json!({})));
    let both = shop.layout.index(&[amd64, arm64]);
    shop.layout.name("q.io/both:latest", &both);
}

/// A kernel under two names, modules in two archives, and microcode.
fn kernel(shop: &mut Workshop) {
    let file = |path: &str, content: Vec<u8>| Entry { kind: Kind::File(content), ..Entry::parse(&format!("{path} =")) };
    let modules = tar_of("lib/\nlib/modules/\nlib/modules/m.ko = m\nlib/modules/n.ko => lib/modules/m.ko");
    let entries = [
        file("kernel", b"{kernel}".to_vec()),
        file("sub/vmlinuz", b"{vmlinuz}".to_vec()),
        file("kernel.tar", modules),
        file("other.tar", tar_of("lib/\nlib/other = o")),
        file("ucode.cpio", microcode()),
    ];
    shop.image_of_tars("kernel", &[tar_of_all(&entries)]);
}

/// An archive as processors' makers publish it.
pub fn microcode() -> Vec<u8> {
    use std::io::Write as _;
    let mut writer =
        cpio::newc::Builder::new("kernel/x86/microcode/GenuineIntel.bin").mode(0o100_644).write(Vec::new(), 4);
    writer.write_all(b"code").unwrap();
    let mut bytes = cpio::newc::trailer(writer.finish().unwrap()).unwrap();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}
