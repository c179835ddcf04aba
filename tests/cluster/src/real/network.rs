//! The network namespace of a cluster with real nodes, and the one link that leads into it.
//!
//! Pods, services and the control plane have addresses that exist in there only. This program stays outside and reaches
//! the API server over a pair of virtual interfaces with a subnet of four addresses. Nothing is forwarded between the two
//! sides, and nothing in there has a way out of the machine: it must stay so.

use std::fs::File;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, Result};

use super::{command, remains, requirements};
use crate::process::Entry;

/// Where to look for a subnet that this machine has no other use for, each time 64 subnets of four addresses.
const CANDIDATES: [Ipv4Addr; 3] =
    [Ipv4Addr::new(10, 200, 0, 0), Ipv4Addr::new(172, 30, 200, 0), Ipv4Addr::new(192, 168, 200, 0)];
const PREFIX: u32 = 30;
/// The link's end inside.
const INSIDE: &str = "outside";

/// The address of a node, in its own subnet of pods; nodes count from 1.
pub(super) fn node_address(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 200, u8::try_from(number).unwrap_or(u8::MAX), 1)
}

/// The subnet of a node's pods.
pub(super) fn pod_subnet(number: usize) -> String {
    let [first, second, third, _] = node_address(number).octets();
    format!("{first}.{second}.{third}.0/24")
}

/// The address of the cluster's DNS: among those that Services get only if they ask.
pub(super) const DNS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);

/// All pods of all nodes.
pub(super) const PODS: &str = "10.200.0.0/16";

/// A network namespace that is there until [`remains::remove`].
pub(crate) struct Network {
    name: String,
    address: Ipv4Addr,
}

impl Network {
    /// Makes the namespace, the link and one bridge per node.
    pub(super) fn create(directory: &Path, nodes: usize) -> Result<Self> {
        let name = remains::name(directory);
        let link = remains::link(directory);
        command::run("ip", &["netns", "add", &name])?;
        command::run("ip", &["link", "add", &link, "type", "veth", "peer", "name", INSIDE, "netns", &name])?;
        let (here, there) = join(&link)?;
        let mut inside = format!("addr add {there}/{PREFIX} dev {INSIDE}\nlink set {INSIDE} up\nlink set lo up\n");
        inside.push_str(&format!("addr add {DNS}/32 dev lo\n"));
        for number in 1..=nodes {
            let address = node_address(number);
            inside.push_str(&format!(
                "link add node-{number} type bridge\naddr add {address}/24 dev node-{number}\nlink set node-{number} up\n"
            ));
        }
        // Leads nowhere; but what has no route at all cannot even be translated to a pod's address.
        inside.push_str("route add default dev node-1\n");
        command::run_with_input("ip", &["-netns", &name, "-batch", "-"], &inside)?;
        let network = Self { name, address: there };
        // The link is for the API server alone: pods that knock on it would have answers sent to the default route.
        let subnet = format!("{here}/{PREFIX}");
        let drop = ["-t", "raw", "-A", "PREROUTING", "!", "-i", INSIDE, "-d", &subnet, "-j", "DROP"];
        let namespace = network.option();
        command::run("nsenter", &[&[&namespace, "--", "iptables", "--wait"], drop.as_slice()].concat())?;
        Ok(network)
    }

    /// Its name, and that of its cgroups.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Where this program reaches what listens inside.
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Starts programs inside.
    pub(crate) fn entry(&self) -> Entry {
        let path = format!("PATH={}", requirements::search_path());
        Entry::new(&["nsenter", &self.option(), "--", "env", &path])
    }

    fn option(&self) -> String {
        format!("--net={}", remains::namespace(&self.name).display())
    }
}

/// Gives the link's end on this side an address; gives both ends' addresses. One at a time, as others may be looking for
/// a free subnet, too: the lock is on the directory that all namespaces are in.
fn join(link: &str) -> Result<(Ipv4Addr, Ipv4Addr)> {
    let lock = File::open(remains::NAMESPACES).with_context(|| format!("open {}", remains::NAMESPACES))?;
    lock.lock().with_context(|| format!("lock {}", remains::NAMESPACES))?;
    let taken = parse_routes(&command::run("ip", &["-4", "route", "show", "table", "all"])?);
    let subnet = free_subnet(&taken).context(
        "every subnet that the rig would use for its link has a route already (ip route show table all): remove \
         the routes that are not needed, or set HOMEOSTAT_REAL_NODES=0",
    )?;
    let (here, there) = (Ipv4Addr::from(subnet + 1), Ipv4Addr::from(subnet + 2));
    command::run("ip", &["addr", "add", &format!("{here}/{PREFIX}"), "dev", link])?;
    command::run("ip", &["link", "set", link, "up"])?;
    Ok((here, there))
}

/// A range of addresses: the first, and how many bits are fixed.
type Subnet = (u32, u32);

fn free_subnet(taken: &[Subnet]) -> Option<u32> {
    let size = 1 << (32 - PREFIX);
    let all = CANDIDATES.iter().flat_map(|first| (0..64).map(move |index| u32::from(*first) + index * size));
    all.into_iter().find(|subnet| !taken.iter().any(|other| overlap((*subnet, PREFIX), *other)))
}

fn overlap((one, fixed): Subnet, (other, other_fixed): Subnet) -> bool {
    let common = fixed.min(other_fixed);
    (one ^ other).checked_shr(32 - common).unwrap_or(0) == 0
}

/// All destinations but the default route, which every address has.
fn parse_routes(routes: &str) -> Vec<Subnet> {
    const TYPES: [&str; 6] = ["local", "broadcast", "unreachable", "blackhole", "prohibit", "throw"];
    let parse = |line: &str| {
        let destination = line.split_whitespace().find(|word| !TYPES.contains(word))?;
        let (address, fixed) = destination.split_once('/').unwrap_or((destination, "32"));
        Some((u32::from(address.parse::<Ipv4Addr>().ok()?), fixed.parse().ok()?))
    };
    routes.lines().filter_map(parse).filter(|(_, fixed)| *fixed > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::{Ipv4Addr, free_subnet, parse_routes};

    #[test]
    fn a_subnet_that_has_a_route_is_left_alone() {
        let chosen = |routes: &str| free_subnet(&parse_routes(routes)).map(Ipv4Addr::from);
        assert_eq!(chosen(""), Some(Ipv4Addr::new(10, 200, 0, 0)));
        assert_eq!(chosen("default via 192.0.2.1 dev eth0"), Some(Ipv4Addr::new(10, 200, 0, 0)));
        assert_eq!(chosen("10.200.0.0/30 dev hs-1 proto kernel"), Some(Ipv4Addr::new(10, 200, 0, 4)));
        assert_eq!(chosen("local 10.200.0.6 dev hs-1 table local"), Some(Ipv4Addr::new(10, 200, 0, 0)));
        assert_eq!(chosen("10.0.0.0/8 via 192.0.2.9 dev tun0"), Some(Ipv4Addr::new(172, 30, 200, 0)));
        assert_eq!(chosen("10.0.0.0/8 dev a\n172.16.0.0/12 dev b\n192.168.0.0/16 dev c"), None);
    }
}
