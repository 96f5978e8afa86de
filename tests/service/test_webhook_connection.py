"""The webhook sender against receivers that are dead, slow, hostile or somewhere else."""

from __future__ import annotations

import socket
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from service.webhooks import WebhookSender
from tests.service.receiver import Receiver
from tests.service.webhook_rig import attempt, config, gather, raw_server, running, send_one


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_dead_receiver_is_tried_again() -> None:
    """No listener: a retry that names the trouble and holds nothing of the address's path."""
    outcome = send_one(f"http://127.0.0.1:{_closed_port()}/token-in-path")
    assert (outcome.status, outcome.tries) == ("retry", 1)
    assert "no connection" in outcome.detail
    assert "token" not in outcome.detail


def test_a_receiver_that_speaks_no_http_is_tried_again() -> None:
    """Garbage instead of an answer is a retry."""
    with raw_server(lambda connection: connection.sendall(b"\x00\xff hello\r\n\r\n")) as url:
        assert send_one(url).status == "retry"


def test_the_timeout_holds_for_the_whole_exchange() -> None:
    """A receiver that sends a byte now and then is given up after the timeout, not after its last byte."""

    def drip(connection: socket.socket) -> None:
        connection.recv(65_536)
        for byte in b"HTTP/1.1 200 OK\r\n" + b"x-slow: 1\r\n" * 100:
            connection.sendall(bytes([byte]))
            time.sleep(0.1)

    began = time.monotonic()
    with raw_server(drip) as url:
        outcome = send_one(url, timeout="500ms")
    assert outcome.status == "retry"
    assert "timeout" in outcome.detail
    assert time.monotonic() - began < 9.0


def test_rebinding_gains_nothing() -> None:
    """A name that is public when checked and private later is judged anew on each try, and the connection goes to the
    very address that was checked: the inner receiver gets nothing."""
    answers = iter([["192.0.2.1"], ["127.0.0.1"], ["93.184.216.34", "127.0.0.1"]])
    asked: list[str] = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return next(answers)

    with Receiver() as inner:
        endpoint = config(f"http://rebind.example.com:{inner.port}/", allow_private=False)
        with running(WebhookSender({"ops": endpoint}, resolver=rebinding)) as sender:
            for seq in range(3):
                sender.offer(attempt(seq))
            outcomes = gather(sender, 3)
        assert [o.status for o in outcomes] == ["retry"] * 3
        assert all("not public" in o.detail for o in outcomes)
        assert asked == ["rebind.example.com"] * 3
        assert inner.received == []


def test_the_name_stays_in_the_host_header_while_the_checked_address_is_connected() -> None:
    """Exactly one look-up an exchange; the Host header carries the configured name."""
    asked: list[str] = []

    def resolver(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    with Receiver() as receiver:
        endpoint = config(f"http://hooks.example.com:{receiver.port}/a?b=c")
        with running(WebhookSender({"ops": endpoint}, resolver=resolver)) as sender:
            sender.offer(attempt(1))
            assert gather(sender, 1)[0].status == "done"
        assert receiver.received[0].headers["host"] == f"hooks.example.com:{receiver.port}"
        assert receiver.received[0].path == "/a?b=c"
    assert asked == ["hooks.example.com"]


def test_the_next_checked_address_is_tried_where_the_first_is_dead() -> None:
    """A name with two addresses of which one refuses connections is still reached."""
    with Receiver() as receiver:
        endpoint = config(f"http://hooks.example.com:{receiver.port}/")
        resolver = lambda host, port: ["::1", "127.0.0.1"]  # noqa: E731 - a fixture in a line
        with running(WebhookSender({"ops": endpoint}, resolver=resolver)) as sender:
            sender.offer(attempt(1))
            assert gather(sender, 1)[0].status == "done"


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY would carry the request around the check of the address."""
    with Receiver() as proxy, Receiver() as receiver:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{proxy.port}")
        assert send_one(receiver.url).status == "done"
        assert proxy.received == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://localhost/", "http://2130706433/"])
def test_an_address_that_can_never_be_allowed_rejects_its_rows(url: str) -> None:
    """A private literal without allow_private: each row is rejected with the rule, and nothing is sent."""
    with running(WebhookSender({"ops": config(url, allow_private=False)})) as sender:
        assert sender.offer(attempt(1))
        outcome = gather(sender, 1)[0]
        assert outcome.status == "rejected"
        assert outcome.detail == sender.status()["ops"]["last_error"]


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate for `name` and its key."""
    pem, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    names = ["-addext", f"subjectAltName=DNS:{name}", "-addext", "basicConstraints=critical,CA:TRUE"]
    subprocess.run([*command, *names, "-out", pem, "-keyout", key], check=True, capture_output=True)
    return pem, key


@pytest.mark.parametrize(("served", "status"), [("hooks.example.com", "done"), ("elsewhere.example.com", "retry")])
def test_tls_is_checked_for_the_name_while_the_checked_address_is_connected(
    served: str, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is asked for the configured name (SNI), and a certificate for another name gets no byte of the body,
    although its authority is trusted."""
    pem, key = certificate(tmp_path, served)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem, key)
    asked: list[str | None] = []
    context.sni_callback = lambda connection, name, _: asked.append(name)
    with Receiver(tls=context) as receiver:
        endpoint = config(f"https://hooks.example.com:{receiver.port}/")
        with running(WebhookSender({"ops": endpoint}, resolver=lambda host, port: ["127.0.0.1"])) as sender:
            sender.offer(attempt(1))
            assert gather(sender, 1)[0].status == status
        assert len(receiver.received) == (status == "done")
    assert asked == ["hooks.example.com"]
