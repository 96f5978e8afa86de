"""Which addresses a webhook may reach: the public Internet only, unless the configuration allows private ones.

A newcomer needs one fact: a name proves nothing. `resolve` looks a name up once and checks *every* address it gives;
the connection then goes to one of exactly these addresses, so that a name which changes its mind between check and
connection (DNS rebinding) gains nothing.

Refused: loopback, private, link-local, unique-local, carrier-grade NAT, documentation, benchmark, multicast, reserved
and unspecified addresses; every IPv6 address outside 2000::/3 (IPv4-mapped, IPv4-compatible, NAT64 and site-local lie
there); 6to4, Teredo and ISATAP, which can carry a private IPv4 address inside; the metadata services of clouds; hosts
written as anything but a name or an address in its usual form; user names in the address.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

__all__ = ["AddressRefusedError", "Receiver", "Resolver", "parse_receiver", "resolve", "system_resolver"]

Resolver = Callable[[str, int], Sequence[str]]
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_IPV6_PUBLIC = ipaddress.ip_network("2000::/3")
_IPV6_REFUSED = tuple(ipaddress.ip_network(net) for net in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
_IPV4_REFUSED = tuple(
    ipaddress.ip_network(net)
    for net in ("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4")
)
# Named one by one because they lie in ranges that are otherwise public or that `allow_private` opens.
_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in ("169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254")
)
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)
_LOCAL_SUFFIXES = (".localhost", ".localdomain", ".local", ".internal", ".intranet", ".lan", ".home.arpa")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z)(?:{_LABEL}\.)*{_LABEL}")
_ODD_NUMBER = re.compile(r"(?:.*\.)?(?:0x[0-9a-f]*|\d+)")


class AddressRefusedError(ValueError):
    """The address is one that a webhook must not reach; the message says which rule and how to allow it."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """A webhook's address, taken apart once; `host` is lower case, without brackets and without a final dot."""

    scheme: str
    host: str
    port: int
    target: str
    allow_private: bool

    @property
    def address(self) -> _Address | None:
        """The host as an address, or None where it is a name."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None


def parse_receiver(url: str, *, allow_private: bool = False) -> Receiver:
    """Take `url` apart and refuse what can never be a receiver, before any name is looked up.

    Raises
    ------
    AddressRefusedError
        for anything but `http(s)://HOST[:PORT]/PATH`, and for a literal address that `resolve` would refuse.

    Examples
    --------
    >>> parse_receiver("https://hooks.example.com/drift?team=ml").port
    443
    >>> parse_receiver("http://2130706433/")
    Traceback (most recent call last):
        ...
    service.webhook_address.AddressRefusedError: host '2130706433': write an IPv4 address as four decimal numbers
    """
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise AddressRefusedError("the address holds a blank, a backslash or a character outside ASCII: encode it")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise AddressRefusedError(f"not an address: {error}") from error
    if parts.scheme not in ("http", "https"):
        raise AddressRefusedError(f"scheme {parts.scheme!r}: only http and https are spoken")
    if "@" in parts.netloc or "%" in parts.netloc:
        raise AddressRefusedError("a user name, a zone or an escape stands before the path: leave it out")
    if port == 0 or parts.netloc.endswith(":"):
        raise AddressRefusedError("the port must be 1 to 65535; leave it and its colon out for the usual one")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    default = 443 if parts.scheme == "https" else 80
    host = _host(parts.hostname or "", bracketed=parts.netloc.startswith("["))
    receiver = Receiver(parts.scheme, host, port or default, target, allow_private)
    _check_host(receiver)
    return receiver


def _host(text: str, *, bracketed: bool) -> str:
    """The host in canonical form; a host that some resolver would read as a number in disguise is refused."""
    if bracketed:
        try:
            return str(ipaddress.IPv6Address(text))
        except ValueError as error:
            raise AddressRefusedError(f"host [{text}]: no IPv6 address") from error
    host = text.removesuffix(".")
    if not _HOST.fullmatch(host):
        raise AddressRefusedError(f"host {text!r}: no name of letters, digits, hyphens and dots")
    if _ODD_NUMBER.fullmatch(host):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError as error:
            raise AddressRefusedError(f"host {host!r}: write an IPv4 address as four decimal numbers") from error
    return host


def _check_host(receiver: Receiver) -> None:
    address = receiver.address
    if address is not None:
        _check_address(address, receiver)
    elif not receiver.allow_private and f".{receiver.host}".endswith(_LOCAL_SUFFIXES):
        raise AddressRefusedError(f"host {receiver.host!r} is a local name: set allow_private = true to reach it")


def resolve(receiver: Receiver, resolver: Resolver | None = None) -> list[str]:
    """Look the host up once; return its addresses, every one of them checked.

    Raises
    ------
    AddressRefusedError
        at least one address is refused: then the answer as a whole is not trusted.
    OSError
        the name is not known or no resolver answers.
    """
    if receiver.address is not None:
        _check_address(receiver.address, receiver)
        return [receiver.host]
    found = list(dict.fromkeys((resolver or system_resolver)(receiver.host, receiver.port)))
    if not found:
        raise OSError(f"no address is known for {receiver.host!r}")
    for text in found:
        try:
            address = ipaddress.ip_address(text)
        except ValueError as error:
            raise AddressRefusedError(f"{receiver.host!r} resolves to {text!r}, which is no address") from error
        _check_address(address, receiver)
    return found


def system_resolver(host: str, port: int) -> list[str]:
    """Ask the system's resolver; a zone such as `%eth0` stays in the text and is refused later."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _check_address(address: _Address, receiver: Receiver) -> None:
    forms = _forms(address)
    if any(form in _METADATA or form.is_multicast or form.is_unspecified or _is_reserved(form) for form in forms):
        raise AddressRefusedError(f"{receiver.host!r} leads to {address}, which is never a receiver")
    if not receiver.allow_private and not all(_is_public(form) for form in forms):
        raise AddressRefusedError(
            f"{receiver.host!r} leads to {address}, which is not public: set allow_private = true to reach it"
        )


def _forms(address: _Address) -> list[_Address]:
    """The address and the IPv4 address that it carries inside, where it is of a kind that carries one."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    number = int(address)
    mapped = address.ipv4_mapped
    if mapped is not None:
        return [address, mapped]
    if (number >> 32) & 0xFFFF_FFFF in _ISATAP:
        return [address, ipaddress.IPv4Address(number & 0xFFFF_FFFF)]
    return [address]


def _is_reserved(address: _Address) -> bool:
    return isinstance(address, ipaddress.IPv4Address) and address.is_reserved


def _is_public(address: _Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        return address in _IPV6_PUBLIC and not any(address in net for net in _IPV6_REFUSED)
    return address.is_global and not any(address in net for net in _IPV4_REFUSED)
