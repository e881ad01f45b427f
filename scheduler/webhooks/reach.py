"""Where webhooks may go: public addresses, and those networks that the settings name.

A name is resolved once, what it stands for is checked, and that address is connected to: a name that means something
else a moment later (DNS rebinding) gains nothing. An IPv4 address inside of an IPv6 one is checked as itself.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from enginehouse.errors import WebhookAddressRefused
from scheduler.settings import Settings

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NAT64 = IPv6Network("64:ff9b::/96")
# What is not public, or leads into what may not be; the standard library's own list grows from version to version.
_NOT_PUBLIC: tuple[Network, ...] = tuple(
    ip_network(each)
    for each in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carriers' NAT
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, and the clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/96",  # unspecified, loopback, and IPv4 in an old dress
        "64:ff9b:1::/48",  # NAT64 of one's own
        "100::/64",
        "2001::/23",  # Teredo, ORCHID and other protocols
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)


class NotAllowed(Exception):
    """No address of the name may be reached; the message says why."""


class NoSuchName(Exception):
    """The name stands for no address."""


@dataclass(frozen=True)
class Reach:
    """What may be reached. ``networks``: those that are allowed although they are not public."""

    networks: tuple[Network, ...] = ()
    http: bool = False

    @classmethod
    def of(cls, settings: Settings) -> Reach:
        """What the settings allow."""
        named = filter(None, (each.strip() for each in settings.webhook_networks.split(",")))
        return cls(tuple(ip_network(each) for each in named), settings.webhook_http)

    def allows(self, address: Address) -> bool:
        """Whether this address may be connected to."""
        return all(self._listed(each) or _is_public(each) for each in _meanings(address))

    def _listed(self, address: Address) -> bool:
        return any(address.version == network.version and address in network for network in self.networks)

    def check_url(self, url: str) -> None:
        """Refuse what can be refused without asking for the name. Raises WebhookAddressRefused."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme != "https" and not self.http:
            raise WebhookAddressRefused(
                f"{parts.scheme}://{parts.netloc} would be told of events without encryption",
                advice="Give an https:// address, or ask the farm's operator for ENGINEHOUSE_WEBHOOK_HTTP=true.",
                field="url",
            )
        address = _literal(host)
        if address is not None and not self.allows(address):
            raise WebhookAddressRefused(f"{host} is no public address", field="url")

    def addresses(self, host: str, port: int) -> list[tuple[socket.AddressFamily, Any]]:
        """What the name stands for now and may be connected to. Raises NotAllowed or NoSuchName."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise NoSuchName(f"the name {host} stands for no address: {error}") from None
        allowed: list[tuple[socket.AddressFamily, Any]] = [
            (family, where) for family, _, _, _, where in found if self.allows(ip_address(str(where[0])))
        ]
        if not allowed:
            said = ", ".join(sorted({str(where[0]) for _, _, _, _, where in found}))
            own = "" if _literal(host) else f" ({said})"
            raise NotAllowed(f"{host}{own} is no public address, and the farm's settings do not allow it")
        return allowed


def _literal(host: str) -> Address | None:
    """The address that a host is without asking anybody."""
    if host == "localhost" or host.endswith(".localhost"):
        return IPv4Address("127.0.0.1")
    try:
        return ip_address(host)
    except ValueError:
        return None


def _meanings(address: Address) -> list[Address]:
    """Everything that connecting to this address may reach."""
    if isinstance(address, IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address in _NAT64:
        return [IPv4Address(int(address) & 0xFFFFFFFF)]
    return [address]


def _is_public(address: Address) -> bool:
    if any(address.version == network.version and address in network for network in _NOT_PUBLIC):
        return False
    return address.is_global and not address.is_multicast
