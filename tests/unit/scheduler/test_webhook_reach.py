"""Which addresses webhooks may reach, in every dress that an address can wear."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from pydantic import ValidationError

from enginehouse.webhooks import WebhookRequest, plain_address
from scheduler.settings import Settings
from scheduler.webhooks.reach import NotAllowed, Reach


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.168.1.1",
        "198.18.0.1",
        "203.0.113.9",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:a9fe:a9fe",
        "64:ff9b::127.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "3fff::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%2",
        "fec0::1",
        "ff02::1",
    ],
)
def test_what_is_not_public_is_not_reached(address: str) -> None:
    assert not Reach().allows(ip_address(address))


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "172.32.0.1", "192.169.0.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1"]
)
def test_what_is_public_is_reached(address: str) -> None:
    assert Reach().allows(ip_address(address))


def test_settings_allow_networks_also_inside_of_ipv6_and_nothing_beside_them() -> None:
    reach = Reach.of(Settings(secret_key="k" * 32, webhook_networks=" 10.1.0.0/16, ::1 "))
    assert not reach.http
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "::1"):
        assert reach.allows(ip_address(address)), address
    for address in ("10.2.0.1", "::ffff:10.2.0.1", "127.0.0.1", "fd00::1"):
        assert not reach.allows(ip_address(address)), address


def test_networks_that_cannot_be_read_are_refused_at_start() -> None:
    for wrong in ("10.0.0.1/8", "localhost", "10.0.0.0/33"):
        with pytest.raises(ValidationError):
            Settings(secret_key="k" * 32, webhook_networks=wrong)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("http://127.1/", "http://127.0.0.1/"),
        ("http://0x7f.0.0.1/", "http://127.0.0.1/"),
        ("http://2130706433/", "http://127.0.0.1/"),
        ("http://017700000001/", "http://127.0.0.1/"),
        ("https://EXAMPLE.com", "https://example.com/"),
        ("https://bücher.example/ä b", "https://xn--bcher-kva.example/%C3%A4%20b"),
        ("https://example.com\\@10.0.0.1/", "https://example.com/@10.0.0.1/"),
        ("https://ⓔxample.com/", "https://example.com/"),
    ],
)
def test_an_address_has_one_form(given: str, meant: str) -> None:
    assert plain_address(given) == meant


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "example.com",
        "ftp://example.com/",
        "file:///etc/passwd",
        "https://",
        "https://user:password@example.com/",
        "https://token@example.com/",
        "https://example.com/#part",
        "https://example.com/" + "x" * 2000,
        "https://exa mple.com/",
    ],
)
def test_what_is_no_address_is_refused(wrong: str) -> None:
    with pytest.raises(ValidationError):
        WebhookRequest(url=wrong)


def test_a_name_for_a_private_address_is_refused_with_what_it_stands_for() -> None:
    with pytest.raises(NotAllowed, match=r"localhost is no public address"):
        Reach((ip_network("10.0.0.0/8"),)).addresses("localhost", 443)
    found = Reach((ip_network("127.0.0.0/8"),)).addresses("127.0.0.1", 443)
    assert [where[0] for _, where in found] == ["127.0.0.1"]
