"""One HTTP exchange with a receiver: checked address, one deadline for all of it, no redirect, no proxy, no cookies.

A newcomer needs one fact: httpcore (the engine under httpx) asks a *network backend* for every connection. Ours
resolves and checks the name and connects to an address of that very answer, while the request, its Host header and the
TLS server name keep the name; and it gives every read and write only what is left of the deadline, so that a receiver
which sends a byte now and then cannot hold the thread.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable, Mapping
from typing import Any

import httpcore
import httpx

from service.webhook_address import Receiver, Resolver, resolve

__all__ = ["Reply", "WebhookConnection"]

Reply = tuple[int, str | None]


class WebhookConnection:
    """Posts to one receiver, one exchange at a time; each exchange has a connection of its own.

    Connections are not kept: alerts are rare, and a kept one would outlive the check of its address.
    """

    def __init__(self, receiver: Receiver, *, timeout_s: float, resolver: Resolver | None = None) -> None:
        self._receiver = receiver
        self._timeout_s = timeout_s
        self._resolver = resolver
        # The usual authorities, or those of SSL_CERT_FILE for receivers inside a company.
        self._tls = httpx.create_ssl_context() if receiver.scheme == "https" else None

    def post(self, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send `body` as it is; return the status and the Retry-After header. The reply's body is not read.

        Raises
        ------
        AddressRefusedError
            the name leads to an address that is not allowed now.
        OSError, httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError
            nothing that counts as an answer came before the deadline.
        """
        receiver = self._receiver
        backend = _CheckedBackend(receiver, time.monotonic() + self._timeout_s, self._resolver)
        url = httpcore.URL(
            scheme=receiver.scheme.encode(),
            host=receiver.host.encode(),
            port=receiver.port,
            target=receiver.target.encode(),
        )
        limits = dict.fromkeys(("connect", "read", "write", "pool"), self._timeout_s)
        with (
            httpcore.ConnectionPool(ssl_context=self._tls, network_backend=backend) as pool,
            pool.stream(
                "POST", url, headers=_header_list(headers), content=body, extensions={"timeout": limits}
            ) as response,
        ):
            retry_after = next((v.decode("latin-1") for k, v in response.headers if k.lower() == b"retry-after"), None)
            return response.status, retry_after


def _header_list(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]


class _Deadline:
    """What is left of one exchange."""

    def __init__(self, end: float) -> None:
        self._end = end

    def left(self, error: type[httpcore.TimeoutException]) -> float:
        left = self._end - time.monotonic()
        if left <= 0:
            raise error("the whole exchange took longer than the configured timeout")
        return left


class _CheckedBackend(httpcore.NetworkBackend):
    """Connects to checked addresses of the receiver only."""

    def __init__(self, receiver: Receiver, end: float, resolver: Resolver | None) -> None:
        self._receiver = receiver
        self._deadline = _Deadline(end)
        self._resolver = resolver
        self._system = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        if (host.strip("[]"), port) != (self._receiver.host, self._receiver.port):
            raise httpcore.ConnectError(f"asked for {host}:{port}, which is not the receiver")
        addresses = resolve(self._receiver, self._resolver)
        for place, address in enumerate(addresses, start=1):
            # A share of the time for each address, so that one that swallows packets leaves some for the next.
            left = self._deadline.left(httpcore.ConnectTimeout) / (len(addresses) - place + 1)
            try:
                stream = self._system.connect_tcp(address, port, left, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if place == len(addresses):
                    raise
            else:
                return _DeadlineStream(stream, self._deadline)
        raise httpcore.ConnectError("no address to connect to")


class _DeadlineStream(httpcore.NetworkStream):
    """A stream whose every step gets only what is left of the deadline."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: _Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.left(httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.left(httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = self._deadline.left(httpcore.ConnectTimeout)
        return _DeadlineStream(self._stream.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
