"""Addresses at which no gateway is, but what gives a node its credentials: link-local ones, and those that clouds have besides.

An address of IPv4 may be written within one of IPv6, for whatever translates it on the way.
"""

import ipaddress
import socket

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_METADATA = tuple(
    map(
        ipaddress.ip_network,
        (
            "fd00:ec2::/32",  # AWS
            "fd20:ce::254/128",  # Google Cloud
            "fd00:42::42/128",  # Scaleway
            "168.63.129.16/32",  # Azure
            "100.100.100.200/32",  # Alibaba Cloud
            "192.0.0.192/32",  # Oracle Cloud
        ),
    )
)
_WITH_IPV4 = tuple(
    (ipaddress.IPv6Network(network), shift)
    for network, shift in (
        ("::ffff:0:0/96", 0),  # mapped
        ("::/96", 0),  # compatible
        ("::ffff:0:0:0/96", 0),  # translated (SIIT)
        ("64:ff9b::/96", 0),  # NAT64
        ("64:ff9b:1::/48", 0),  # NAT64 of the network's own, as it is set up most often
        ("2002::/16", 80),  # 6to4
    )
)
"""Networks, and how far to the left of the end the address of IPv4 stands in them, in bits."""


def is_of_node(address: str) -> bool:
    """Tell whether that is an address at which a node, or a service that gives it its credentials, is.

    Raises:
        ValueError: It is no address.
    """
    read = ipaddress.ip_address(address)
    return any(one.is_link_local or any(one in network for network in _METADATA) for one in _all_of(read))


def literal(host: str) -> str | None:
    """Give the address that a host is, in whichever way that is written (169.254.169.254, 0xa9fea9fe, 2852039166); None: it is a name."""
    try:
        return str(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host.rstrip(".")))
    except (OSError, ValueError):
        return None


def _all_of(address: _Address) -> list[_Address]:
    """Give an address, and those of IPv4 within it."""
    if not isinstance(address, ipaddress.IPv6Address):
        return [address]
    bare = ipaddress.IPv6Address(int(address))
    within = [(int(bare) >> shift) & 0xFFFFFFFF for network, shift in _WITH_IPV4 if bare in network]
    return [bare, *map(ipaddress.IPv4Address, within)]
