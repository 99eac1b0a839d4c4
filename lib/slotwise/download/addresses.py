"""Which addresses are asked: public ones, and those that the user has named.

A table of URLs may come from a stranger, and executors stand inside a network that he does not reach: what he writes must not make
them ask there for him (server-side request forgery, https://owasp.org/www-community/attacks/Server_Side_Request_Forgery). What is
checked is the address that is then connected to, so neither a spelling, nor a redirect, nor a name that changes its address gets by.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

# Addresses of IPv4 written as those of IPv6, for translation by the network: RFC 6052.
_TRANSLATED = ip_network("64:ff9b::/96")


class ForbiddenAddress(Exception):
    """A host leads to an address that is not asked; no connection was made."""


@dataclass(frozen=True)
class Allowed:
    """What may be asked beside public addresses.

    Args:
        networks: of IPv4 or IPv6, such as 10.0.0.0/8.
        servers: pairs of a host as it stands in a URL, in lower case, and a port.
    """

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    servers: frozenset[tuple[str, int]] = frozenset()

    @classmethod
    def of(cls, networks: Iterable[str], servers: Iterable[tuple[str, int]]) -> Allowed:
        """Raises ValueError where a network is none."""
        return cls(tuple(ip_network(network) for network in networks), frozenset(servers))

    def address(self, address: str) -> bool:
        """Whether an address, as text and in any of its forms, is public or in one of the networks."""
        plain = _plain(address)
        return _is_public(plain) or any(plain in network for network in self.networks)

    def addresses(self, host: str, port: int) -> list[str]:
        """The addresses of a host, in the order to try them.

        Raises:
            ForbiddenAddress: one of them is not to be asked: whoever gives out such a name has no business with the others either.
            OSError: the host has none.
        """
        found = dict.fromkeys(str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        forbidden = [] if (host.lower(), port) in self.servers else [address for address in found if not self.address(address)]
        if forbidden:
            named = forbidden[0] if forbidden[0] == host else f"{host} leads to {forbidden[0]}, which"
            raise ForbiddenAddress(f"{named} is no public address; --allow-addresses names those that may be asked all the same")
        return list(found)


def _plain(address: str) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 address stands for, if it does."""
    parsed = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv4Address):
        return parsed
    translated = IPv4Address(int(parsed) & 0xFFFFFFFF) if parsed in _TRANSLATED else None
    return parsed.ipv4_mapped or parsed.sixtofour or translated or parsed


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    site_local = isinstance(address, IPv6Address) and address.is_site_local
    return address.is_global and not (site_local or address.is_multicast or address.is_reserved)
