//! linuxkit's commands and flags as far as lkit's have another name or meaning. A flag that is not here is lkit's flag of
//! the same name.

/// What a flag of linuxkit becomes.
#[derive(Clone, Copy, Debug)]
pub enum Becomes {
    /// An option of lkit whose value is written in another way.
    Written(Written),
    /// Nothing, with a warning that says why.
    Idle(&'static str),
    /// A refusal that says why, and what to do.
    Refused(&'static str, &'static str),
}

/// Values that linuxkit writes in another way than lkit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// How much is said: 0 nothing, 1 the usual, 2 and 3 more.
    Verbosity,
    /// The directory of the cache.
    Cache,
    /// A mirror, which is one of every registry when it names none.
    Mirror,
    /// A file with certificates of authorities.
    Certificates,
    /// A size in GiB unless a unit follows.
    Size,
    /// The name of the files, which may have a directory in front.
    Name,
    /// Files of a prefix by what their names end in, in the place of those that are found.
    Suffix(&'static str),
    /// The directory that files go to.
    Dir,
    /// Where HTTP is served: `HOST:PORT`, or `:PORT` for every address.
    Port,
    /// `default`, or a network.
    Network,
    /// Accelerators in the order in which they are tried, such as `kvm:tcg`.
    Accelerator,
}

/// Whether a flag has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// None; `=true` or `=false` may follow.
    Nothing,
    /// One.
    Value,
    /// A number, which the linuxkit of before 2022 did not take.
    PerhapsNumber,
}

/// A flag of linuxkit.
#[derive(Debug)]
pub struct Flag {
    /// The commands that have it, as they begin; every command when that is nothing.
    pub of: &'static str,
    /// Its name without dashes.
    pub name: &'static str,
    pub takes: Takes,
    pub becomes: Becomes,
}

const fn switch(of: &'static str, name: &'static str, becomes: Becomes) -> Flag {
    Flag { of, name, takes: Takes::Nothing, becomes }
}

const fn valued(of: &'static str, name: &'static str, becomes: Becomes) -> Flag {
    Flag { of, name, takes: Takes::Value, becomes }
}

const UNSIGNED: &str = "digests tell images apart here, and nobody is asked for signatures of tags";
const NO_OVERRIDE: &str = "a tag is always pushed as it is in the cache, and blobs that are there are not sent again";
const NOT_PUBLISHED: (&str, &str) =
    ("no registry is asked what it has when images are removed", "name the images to remove: `cache rm IMAGE…`");

/// Flags that lkit's command does not have, or means in another way. The first that fits counts.
pub const FLAGS: &[Flag] = &[
    Flag { of: "", name: "verbose", takes: Takes::PerhapsNumber, becomes: Becomes::Written(Written::Verbosity) },
    Flag { of: "", name: "v", takes: Takes::PerhapsNumber, becomes: Becomes::Written(Written::Verbosity) },
    valued("", "cache", Becomes::Written(Written::Cache)),
    valued("", "mirror", Becomes::Written(Written::Mirror)),
    valued("", "cert-file", Becomes::Written(Written::Certificates)),
    switch("", "disable-content-trust", Becomes::Idle(UNSIGNED)),
    switch("", "disable-trust", Becomes::Idle(UNSIGNED)),
    valued("build", "size", Becomes::Written(Written::Size)),
    valued("build", "name", Becomes::Written(Written::Name)),
    valued("build", "dir", Becomes::Written(Written::Dir)),
    switch("cache clean", "published-only", Becomes::Refused(NOT_PUBLISHED.0, NOT_PUBLISHED.1)),
    switch("cache rm", "published-only", Becomes::Refused(NOT_PUBLISHED.0, NOT_PUBLISHED.1)),
    switch("cache push", "override", Becomes::Idle(NO_OVERRIDE)),
    switch(
        "cache push",
        "with-arch-tags",
        Becomes::Refused(
            "no tags for single architectures are made",
            "push each with `cache push --platform ARCH --remote-name IMAGE-ARCH IMAGE`",
        ),
    ),
    valued("serve", "port", Becomes::Written(Written::Port)),
    switch("run", "kernel", Becomes::Written(Written::Suffix("-initrd.img"))),
    switch("run", "squashfs", Becomes::Written(Written::Suffix("-squashfs.img"))),
    valued("run", "networking", Becomes::Written(Written::Network)),
    valued("run", "accel", Becomes::Written(Written::Accelerator)),
];

/// Flags of linuxkit that are refused for as long as lkit's command does not have them.
pub const NOT_DONE: &[Flag] = &[
    valued("run", "ip", Becomes::Refused("a machine takes the address that its network gives it", LEAVE)),
    valued("run", "vsock-ports", Becomes::Refused("no vsock ports are forwarded", LEAVE)),
    valued("run", "vpnkit", Becomes::Refused("VPNKit is not started", LEAVE)),
    valued("run", "vpnkit-uuid", Becomes::Refused("VPNKit is not started", LEAVE)),
    switch("run", "console-file", Becomes::Refused("the console is this terminal", "redirect the output to a file")),
];

const LEAVE: &str = "leave it out";

/// Places where linuxkit runs machines and lkit does not: lkit says so itself, and nothing else of the line matters.
pub const ELSEWHERE: &[&str] =
    &["aws", "azure", "equinixmetal", "gcp", "hyperv", "openstack", "packet", "scaleway", "vbox", "vcenter", "vmware"];

/// Whether what is said of `of` is said of this command, such as what is said of `cache` of `cache ls`.
pub fn is_of(of: &str, command: &str) -> bool {
    let rest = command.strip_prefix(of);
    rest.is_some_and(|rest| of.is_empty() || rest.is_empty() || rest.starts_with(' '))
}

/// The flag of this name that a command has.
pub fn find<'a>(flags: &'a [Flag], command: &str, name: &str) -> Option<&'a Flag> {
    flags.iter().find(|flag| flag.name == name && is_of(flag.of, command))
}
