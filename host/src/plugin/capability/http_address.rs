//! Which addresses may be dialled. Checked for every connection, on the address that is dialled, so that a name cannot
//! change its mind between the check and the dial.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

/// A name resolved to nothing but addresses that may not be dialled.
#[derive(Debug, thiserror::Error)]
#[error("`{host}` resolves to an address that may not be dialled; allow_private permits private networks")]
pub(super) struct AddressRefused {
    host: String,
}

/// Where clouds hand out credentials, outside of the link-local range: never, whatever is allowed.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// Whether an address may be dialled.
pub(super) fn may_dial(address: IpAddr, allow_private: bool) -> bool {
    let address = innermost(address);
    if METADATA.contains(&address) {
        return false;
    }
    match address {
        IpAddr::V4(address) => may_dial_v4(address, allow_private),
        IpAddr::V6(address) => may_dial_v6(address, allow_private),
    }
}

/// An IPv4 address may come dressed as IPv6: mapped, compatible, NAT64 (well-known and local prefix), 6to4.
fn innermost(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let segments = v6.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // The loopback address of IPv6 looks like a compatible one.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => address,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x64, 0xff9b, 1, _, _, _, high, low]
        | [0x2002, high, low, ..] => v4(high, low),
        _ => address,
    }
}

fn may_dial_v4(address: Ipv4Addr, allow_private: bool) -> bool {
    let [a, b, c, _] = address.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let benchmarking = a == 198 && (18..20).contains(&b);
    let protocol = a == 192 && b == 0 && c == 0;
    let relay = a == 192 && b == 88 && c == 99;
    // "This network", multicast, reserved and broadcast lead to no server.
    if a == 0 || a >= 224 || protocol || relay || benchmarking || address.is_documentation() {
        return false;
    }
    allow_private || !(address.is_private() || address.is_loopback() || address.is_link_local() || shared)
}

fn may_dial_v6(address: Ipv6Addr, allow_private: bool) -> bool {
    let segments = address.segments();
    let teredo = segments[0] == 0x2001 && segments[1] == 0;
    let documentation = segments[0] == 0x2001 && segments[1] == 0xdb8;
    let discard = segments[0] == 0x100 && segments[1..4] == [0, 0, 0];
    let site_local = segments[0] & 0xffc0 == 0xfec0;
    if address.is_unspecified() || address.is_multicast() || teredo || documentation || discard {
        return false;
    }
    let private = address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local() || site_local;
    if private {
        return allow_private;
    }
    // What is neither private nor global unicast is not assigned.
    segments[0] & 0xe000 == 0x2000
}

/// Resolves by the system, and passes on only addresses that may be dialled.
#[derive(Clone, Copy)]
pub(super) struct CheckedResolver {
    pub(super) allow_private: bool,
}

impl Service<Name> for CheckedResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            let allowed: Vec<SocketAddr> =
                found.into_iter().filter(|address| may_dial(address.ip(), allow_private)).collect();
            if allowed.is_empty() {
                return Err(AddressRefused { host }.into());
            }
            Ok(allowed.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(address: &str, allow_private: bool) -> bool {
        may_dial(address.parse().unwrap(), allow_private)
    }

    #[test]
    fn public_addresses_may_be_dialled() {
        for address in
            ["93.184.216.34", "8.8.8.8", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:8.8.8.8", "64:ff9b::808:808"]
        {
            assert!(check(address, false), "{address}");
        }
    }

    #[test]
    fn private_addresses_need_permission() {
        for address in [
            "127.0.0.1",
            "127.8.8.8",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "169.254.1.1",
            "::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a00:1",
            "64:ff9b:1::a00:1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "::ffff:0:a00:1",
        ] {
            assert!(!check(address, false), "{address}");
            assert!(check(address, true), "{address}");
        }
    }

    #[test]
    fn metadata_and_unroutable_addresses_are_never_dialled() {
        for address in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::",
            "100.100.100.200",
            "168.63.129.16",
            "fd00:ec2::254",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "255.255.255.255",
            "224.0.0.1",
            "240.0.0.1",
            "ff02::1",
            "192.0.0.192",
            "198.18.0.1",
            "192.0.2.1",
            "2001:db8::1",
            "2001::1",
            "100::1",
            "4000::1",
        ] {
            assert!(!check(address, true), "{address}");
        }
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_loopback_is_refused() {
        let name = || "localhost".parse().unwrap();
        let error = CheckedResolver { allow_private: false }.call(name()).await.err().unwrap();
        assert!(error.downcast_ref::<AddressRefused>().is_some());
        assert!(CheckedResolver { allow_private: true }.call(name()).await.unwrap().next().is_some());
    }
}
