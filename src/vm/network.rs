//! The network of a machine, as linuxkit writes it.

use std::path::Path;
use std::str::FromStr;

use super::{Error, Mac, Port};

/// The network of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// What its card is connected to.
    pub link: Link,
    /// Ports of the host that lead into it, where the link is the monitor's own.
    pub ports: Vec<Port>,
    /// Address of the card; the monitor chooses without one.
    pub mac: Option<Mac>,
}

impl Network {
    /// No network.
    pub const fn none() -> Self {
        Self { link: Link::None, ports: Vec::new(), mac: None }
    }
}

/// What the network card of a machine is connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// It has no card.
    None,
    /// The monitor's own network.
    Own,
    /// A tap interface of the host.
    Tap(String),
    /// A bridge of the host.
    Bridge(String),
    /// vmnet of macOS.
    Vmnet,
}

/// Bytes of the longest name of an interface (`IFNAMSIZ` of Linux, without the NUL).
const LONGEST_NAME: usize = 15;

impl FromStr for Link {
    type Err = Error;

    /// Takes `user`, `tap,INTERFACE`, `bridge,BRIDGE`, `vmnet` and `none`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let (kind, name) = text.split_once(',').map_or((text, None), |(kind, name)| (kind, Some(name)));
        let name = name.map(|name| if is_interface(name) { Ok(name.to_owned()) } else { Err(()) }).transpose();
        match (kind, name) {
            ("user" | "default", Ok(None)) => Ok(Self::Own),
            ("none", Ok(None)) => Ok(Self::None),
            ("vmnet", Ok(None)) => Ok(Self::Vmnet),
            ("tap", Ok(Some(name))) => Ok(Self::Tap(name)),
            ("bridge", Ok(Some(name))) => Ok(Self::Bridge(name)),
            _ => Err(Error::NotANetwork(text.to_owned())),
        }
    }
}

/// Whether the kernel takes this as the name of an interface (`dev_valid_name` of Linux), and monitors in their lists.
fn is_interface(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"/:,=\"".contains(&byte);
    (1..=LONGEST_NAME).contains(&name.len()) && name != "." && name != ".." && name.bytes().all(is_plain)
}

impl Link {
    /// Fails when this host does not have it.
    ///
    /// # Errors
    /// `NoInterface`, or `NotOfThisHost`.
    pub fn check(&self) -> Result<(), Error> {
        let missing = |name: &str, sort| Err(Error::NoInterface { name: name.to_owned(), sort });
        match self {
            Self::Vmnet if cfg!(not(target_os = "macos")) => Err(Error::NotOfThisHost("vmnet")),
            Self::Tap(name) if !has(name, "tun_flags") => missing(name, "tap interface"),
            Self::Bridge(name) if !has(name, "bridge") => missing(name, "bridge"),
            _ => Ok(()),
        }
    }
}

/// Whether the kernel shows an interface of a sort; elsewhere than on Linux it does not tell.
fn has(name: &str, sort: &str) -> bool {
    cfg!(not(target_os = "linux")) || Path::new("/sys/class/net").join(name).join(sort).exists()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Fault as _;

    #[test]
    fn a_network_is_written_as_linuxkit_writes_it() {
        let rows = [
            ("user", Link::Own),
            ("default", Link::Own),
            ("none", Link::None),
            ("vmnet", Link::Vmnet),
            ("tap,tap0", Link::Tap("tap0".to_owned())),
            ("bridge,br-lan.1", Link::Bridge("br-lan.1".to_owned())),
        ];
        for (text, link) in rows {
            assert_eq!(text.parse::<Link>().unwrap(), link);
        }
        let names =
            ["tap,a,script=/x", "tap,a b", "bridge,../x", "tap,abcdefghijklmnop", "tap,", "bridge,..", "tap,a:b"];
        for text in ["", "tap", "bridge", "user,x", "none,", "vpnkit", "USER"].into_iter().chain(names) {
            let message = format!(
                "`{text}` is no network of a machine; there are user, tap,INTERFACE, bridge,BRIDGE, vmnet and none"
            );
            assert_eq!(text.parse::<Link>().unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn an_interface_that_is_not_there_is_told_with_how_it_is_made() {
        let error = Link::Tap("nowhere0".to_owned()).check().unwrap_err();
        assert_eq!(error.to_string(), "this host has no tap interface `nowhere0`");
        assert_eq!(error.hint().unwrap(), "make it with `ip tuntap add dev nowhere0 mode tap`, and set it up");
        // There is an interface of this name, and it is no bridge.
        let error = Link::Bridge("lo".to_owned()).check().unwrap_err();
        assert_eq!(error.to_string(), "this host has no bridge `lo`");
        assert_eq!(error.hint().unwrap(), "make it with `ip link add lo type bridge`, and set it up");
        assert!(Link::Own.check().is_ok() && Link::None.check().is_ok());
    }
}
