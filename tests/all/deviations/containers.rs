//! The root and its containers: files, ids, mounts, limits.

use serde_json::json;

use crate::common::workshop::Workshop;

#[test]
fn d05_parents_of_files_keep_mode_and_owner() {
    let mut shop = Workshop::new();
    shop.image("a", &["etc/ 755 0:0\nsrv/ 711 7:8\nsrv/x = 1"]);
    let files = "init: [q.io/a]\nfiles:\n\
                 - {path: etc/linuxkit-config, contents: c, mode: '0600', uid: 3}\n\
                 - {path: srv/deep/er/y, contents: '2', mode: '0640', uid: 5, gid: 6}\n\
                 - {path: new, directory: true, mode: '0700'}\n\
                 - {path: new/z, contents: '3', mode: '0644'}\n\
                 - {path: etc/set, directory: true, mode: '0711'}\n\
                 - {path: etc/set, directory: true, mode: '0750', uid: 1}";
    let root = shop.initrd(files);
    let lines = |paths: &[&str]| paths.iter().map(|path| root.line(path)).collect::<Vec<_>>();
    assert_eq!(lines(&["etc", "etc/linuxkit-config"]), ["etc/", "etc/linuxkit-config 600 3:0 = c"]);
    assert_eq!(
        lines(&["srv", "srv/deep", "srv/deep/er"]),
        ["srv/ 711 7:8", "srv/deep/ 750 5:6", "srv/deep/er/ 750 5:6"]
    );
    assert_eq!(lines(&["new", "new/z", "etc/set"]), ["new/ 700", "new/z = 3", "etc/set/ 750 1:0"]);
}

#[test]
fn d06_links_at_hosts_and_resolv_conf_are_replaced() {
    let mut shop = Workshop::new();
    shop.image("a", &["etc/hosts -> /run/hosts\netc/resolv.conf -> ../run/resolv.conf\nrun/hosts = kept"]);
    let root = shop.initrd("init: [q.io/a]\nservices: [{name: s, image: q.io/a}]");
    let hosts = "127.0.0.1       localhost\n::1     localhost ip6-localhost ip6-loopback\nfe00::0 ip6-localnet\n\
                 ff00::0 ip6-mcastprefix\nff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n";
    for at in ["", "containers/services/s/lower/"] {
        assert_eq!(root.content(&format!("{at}etc/hosts")), hosts.as_bytes());
        assert_eq!(root.line(&format!("{at}run/hosts")), format!("{at}run/hosts = kept"));
    }
    assert_eq!(root.line("etc/resolv.conf"), "etc/resolv.conf -> /run/resolvconf/resolv.conf");
    assert_eq!(root.content("containers/services/s/lower/etc/resolv.conf"), b"\n# no resolv.conf configured\n");
}

#[test]
fn d09_fields_in_camel_case_are_kept() {
    let mut shop = Workshop::new();
    shop.image("a", &["x = 1"]);
    let spec = "services:\n- name: s\n  image: q.io/a\n  \
        uidMappings: [{containerID: 0, hostID: 1000, size: 10}]\n  \
        gidMappings: [{containerID: 1, hostID: 2000, size: 20}]\n  \
        resources:\n    \
          memory: {kernelTCP: 1, disableOOMKiller: true}\n    \
          cpu: {realtimeRuntime: 2, realtimePeriod: 3}\n    \
          network: {classID: 4}\n    \
          hugepageLimits: [{pageSize: 2MB, limit: 5}]\n    \
          blockio:\n      \
            leafWeight: 6\n      \
            weightDevice: [{major: 8, minor: 0, weight: 7, leafWeight: 8}]\n      \
            throttleReadBpsDevice: [{major: 8, minor: 1, rate: 9}]\n      \
            throttleWriteBpsDevice: [{major: 8, minor: 2, rate: 10}]\n      \
            throttleReadIOPSDevice: [{major: 8, minor: 3, rate: 11}]\n      \
            throttleWriteIOPSDevice: [{major: 8, minor: 4, rate: 12}]\n";
    let linux = &shop.initrd(spec).json("containers/services/s/config.json")["linux"];
    assert_eq!(linux["uidMappings"], json!([{"containerID": 0, "hostID": 1000, "size": 10}]));
    assert_eq!(linux["gidMappings"], json!([{"containerID": 1, "hostID": 2000, "size": 20}]));
    let expected = json!({
        "memory": {"kernelTCP": 1, "disableOOMKiller": true},
        "cpu": {"realtimeRuntime": 2, "realtimePeriod": 3},
        "network": {"classID": 4},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 5}],
        "blockIO": {
            "leafWeight": 6,
            "weightDevice": [{"major": 8, "minor": 0, "weight": 7, "leafWeight": 8}],
            "throttleReadBpsDevice": [{"major": 8, "minor": 1, "rate": 9}],
            "throttleWriteBpsDevice": [{"major": 8, "minor": 2, "rate": 10}],
            "throttleReadIOPSDevice": [{"major": 8, "minor": 3, "rate": 11}],
            "throttleWriteIOPSDevice": [{"major": 8, "minor": 4, "rate": 12}],
        },
    });
    assert_eq!(linux["resources"], expected);
}

/// The mount of service `s` whose destination is `destination`.
fn mount(root: &crate::common::workshop::Root, destination: &str) -> serde_json::Value {
    let config = root.json("containers/services/s/config.json");
    let mounts = config["mounts"].as_array().unwrap().iter();
    mounts.filter(|mount| mount["destination"] == destination).cloned().collect()
}

#[test]
fn d10_a_volume_in_mounts_becomes_its_path() {
    let mut shop = Workshop::new();
    shop.image("a", &["x = 1"]);
    let root = shop.initrd(
        "volumes: [{name: v}]\nservices:\n- name: s\n  image: q.io/a\n  binds: ['v:/b']\n  \
         mounts: [{type: bind, source: v, destination: /m, options: [rw, rbind]}]",
    );
    let source = "/containers/volumes/v/merged";
    let [m, b] = ["/m", "/b"].map(|destination| mount(&root, destination));
    assert_eq!(m, json!([{"destination": "/m", "type": "bind", "source": source, "options": ["rw", "rbind"]}]));
    assert_eq!(
        b,
        json!([{"destination": "/b", "type": "bind", "source": source, "options": ["rw", "rbind", "rshared"]}])
    );
}

#[test]
fn d11_volumes_of_all_specs_are_known() {
    let mut shop = Workshop::new();
    shop.image("a", &["x = 1"]);
    shop.write(
        "a.yml",
        "volumes: [{name: first}]\nservices: [{name: s, image: q.io/a, binds: ['first:/f', 'last:/l']}]",
    );
    shop.write("b.yml", "volumes: [{name: last}]");
    let output = shop.output("build -f tar -o - a.yml b.yml");
    crate::common::stdout("build", &output);
    let root = crate::common::workshop::Root(crate::common::entries::of_tar(&output.stdout));
    for (destination, volume) in [("/f", "first"), ("/l", "last")] {
        assert_eq!(mount(&root, destination)[0]["source"], format!("/containers/volumes/{volume}/merged"));
        assert!(root.has(&format!("containers/volumes/{volume}/merged")));
    }
}

#[test]
fn d13_what_label_and_add_both_name_is_there_once() {
    let mut shop = Workshop::new();
    let label = r#"{"capabilities": ["CAP_SYS_ADMIN", "CAP_CHOWN"], "binds": ["/a:/a", "/b:/b"]}"#;
    shop.image_with("a", &["x = 1"], json!({"Labels": {"org.mobyproject.config": label}}));
    let root = shop.initrd(
        "services:\n- name: s\n  image: q.io/a\n  \
         capabilities.add: [CAP_CHOWN, CAP_KILL, CAP_KILL]\n  binds.add: ['/b:/b', '/c:/c']",
    );
    let config = root.json("containers/services/s/config.json");
    let sets = &config["process"]["capabilities"];
    assert_eq!(sets["effective"], json!(["CAP_SYS_ADMIN", "CAP_CHOWN", "CAP_KILL"]));
    for set in ["bounding", "inheritable", "permitted"] {
        assert_eq!(sets[set], json!(["CAP_CHOWN", "CAP_KILL", "CAP_SYS_ADMIN"]), "{set}");
    }
    let binds = config["mounts"].as_array().unwrap().iter().filter(|mount| mount["type"] == "bind");
    assert_eq!(binds.map(|mount| mount["destination"].as_str().unwrap()).collect::<Vec<_>>(), ["/a", "/b", "/c"]);
    shop.image("plain", &["x = 1"]);
    let root =
        shop.initrd("services: [{name: s, image: q.io/plain, capabilities.add: [CAP_KILL, CAP_CHOWN, CAP_KILL]}]");
    let config = root.json("containers/services/s/config.json");
    assert_eq!(config["process"]["capabilities"]["effective"], json!(["CAP_KILL", "CAP_CHOWN"]));
}
