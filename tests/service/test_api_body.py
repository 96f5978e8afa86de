"""Bodies that are slow, chunked, huge or many, sent to a real server."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import uvicorn

from service.api import create_app
from service.api_body import BodyReader
from service.api_problems import ProblemError
from tests.service.api_client import prediction
from tests.service.api_port import FakePort


@pytest.fixture
def port() -> FakePort:
    """A service of plain data."""
    return FakePort()


@pytest.fixture
def address(port: FakePort) -> Iterator[tuple[str, int]]:
    """The application on a real uvicorn; bodies have half a second of grace."""
    config = uvicorn.Config(create_app(port, body_grace_s=0.5), host="127.0.0.1", port=0, log_level="critical")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    host, number = server.servers[0].sockets[0].getsockname()
    yield host, number
    server.should_exit = True
    thread.join(10)


HEAD = b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"


def read_all(connection: socket.socket) -> bytes:
    """Everything until the server closes."""
    found = b""
    while chunk := connection.recv(65_536):
        found += chunk
    return found


def test_a_chunked_body_without_length_is_taken(address: tuple[str, int], port: FakePort) -> None:
    """Chunks may cut events anywhere."""
    body = prediction(1) + b"\n" + prediction(2)
    with socket.create_connection(address, 5) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
        for start in range(0, len(body), 50):
            part = body[start : start + 50]
            connection.sendall(b"%x\r\n%s\r\n" % (len(part), part))
        connection.sendall(b"0\r\n\r\n")
        assert b'"accepted":2' in read_all(connection)
    assert len(port.log.written) == 2


def test_a_chunked_body_without_end_is_cut_off_at_the_limit(address: tuple[str, int], port: FakePort) -> None:
    """413 as soon as the limit is passed, and the connection closes: memory stays flat."""
    chunk = b"%x\r\n%s\r\n" % (65_536, b"x" * 65_536)
    sent = 0
    with socket.create_connection(address, 5) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        with suppress(OSError):  # reset or broken pipe, by the timing
            while sent < 100_000_000:
                connection.sendall(chunk)
                sent += 65_536
    assert sent < 20_000_000
    assert port.log.written == []


def test_an_announced_length_beyond_the_limit_is_refused_before_the_body(address: tuple[str, int]) -> None:
    """413 without waiting for a byte of it."""
    with socket.create_connection(address, 5) as connection:
        connection.sendall(HEAD + b"Content-Length: 99999999999\r\n\r\n")
        reply = read_all(connection)
    assert reply.startswith(b"HTTP/1.1 413")
    assert b"max_body_bytes" in reply


@pytest.mark.parametrize("drip", [b"", b"x"])
def test_a_body_that_does_not_come_is_given_up(address: tuple[str, int], drip: bytes) -> None:
    """408 after the grace, whether nothing comes or a byte now and then."""
    began = time.monotonic()
    with socket.create_connection(address, 5) as connection:
        connection.sendall(HEAD + b"Content-Length: 100\r\n\r\n")
        reader = threading.Thread(target=_drip, args=(connection, drip), daemon=True)
        reader.start()
        reply = read_all(connection)
        reader.join()
    assert reply.startswith(b"HTTP/1.1 408")
    assert 0.3 < time.monotonic() - began < 20.0


def _drip(connection: socket.socket, drip: bytes) -> None:
    for _ in range(8):
        time.sleep(0.1)
        try:
            connection.sendall(drip)
        except OSError:
            return


def test_all_bodies_together_are_bounded(address: tuple[str, int]) -> None:
    """Many half-sent bodies at once: beyond four times the limit the next ones get 429 and are told when to return."""
    half = b"x" * 190_000
    connections = [socket.create_connection(address, 5) for _ in range(8)]
    replies = []
    for connection in connections:
        connection.sendall(HEAD + b"Content-Length: 199999\r\n\r\n" + half)
    for connection in connections:
        with connection:
            replies.append(read_all(connection))
    statuses = sorted(reply[9:12] for reply in replies)
    assert set(statuses) == {b"408", b"429"}
    assert statuses.count(b"408") <= 4
    assert all(b"retry-after: 1" in reply.lower() for reply in replies if reply[9:12] == b"429")


def test_bytes_held_are_given_back() -> None:
    """After a body has been used, or refused, or broken off, it no longer counts."""
    reader = BodyReader(1_000)

    class Body:
        def __init__(self, chunks: list[bytes]) -> None:
            self.headers: dict[str, str] = {}
            self._chunks = chunks

        async def stream(self) -> Any:
            for chunk in self._chunks:
                yield chunk

    async def use(chunks: list[bytes]) -> None:
        async with reader.body(Body(chunks)):  # type: ignore[arg-type]  # as much of a request as is read
            pass

    async def many() -> None:
        for _ in range(20):
            await use([b"x" * 900])
            with pytest.raises(ProblemError):
                await use([b"x" * 900, b"x" * 900])

    asyncio.run(many())
