"""What gives a node its credentials is known in whichever way its address is written, and nothing else is taken for it."""

import pytest

from llmbatch.common.addresses import is_of_node, literal


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.170.23",
        "fe80::a9fe:a9fe",
        "fe80::1%eth0",
        "::ffff:169.254.169.254",
        "::ffff:169.254.169.254%1",
        "::169.254.169.254",
        "::ffff:0:169.254.169.254",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::169.254.169.254",
        "64:ff9b:1:fffe::a9fe:a9fe",
        "2002:a9fe:a9fe::",
        "2002:a9fe:a9fe::1",
        "fd00:ec2::254",
        "fd00:0ec2:0000::0023",
        "fd20:ce::254",
        "168.63.129.16",
        "::ffff:168.63.129.16",
        "64:ff9b::100.100.100.200",
        "192.0.0.192",
    ],
)
def test_of_a_node(address: str) -> None:
    assert is_of_node(address)


@pytest.mark.parametrize(
    "address",
    [
        "10.96.0.1", "127.0.0.1", "192.0.2.1", "169.253.0.1", "100.100.100.201", "::1", "::", "fd00:10:96::1", "fd00:ec3::254",
        "2001:db8::169.254.169.254", "64:ff9b::8.8.8.8", "2002:808:808::a9fe:a9fe", "64:ff9c::169.254.169.254",
    ],
)  # fmt: skip
def test_of_others(address: str) -> None:
    assert not is_of_node(address)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("169.254.169.254", "169.254.169.254"),
        ("169.254.169.254.", "169.254.169.254"),
        ("2852039166", "169.254.169.254"),
        ("0xa9fea9fe", "169.254.169.254"),
        ("0251.0376.0251.0376", "169.254.169.254"),
        ("169.254.43518", "169.254.169.254"),
        ("[fe80::1]", "fe80::1"),
        ("kong.example.com", None),
        ("kong", None),
        ("", None),
        ("1.2.3.4.example.com", None),
    ],
)
def test_an_address_is_one_however_it_is_written(host: str, address: str | None) -> None:
    assert literal(host) == address
