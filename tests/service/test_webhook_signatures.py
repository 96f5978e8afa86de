"""Signatures of webhooks, judged by the official Standard Webhooks library."""

from __future__ import annotations

import base64
import json
import time

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from service.webhooks import WebhookSender, sign
from tests.service.receiver import Receiver
from tests.service.webhook_rig import BODY, NEW, OLD, attempt, config, gather, running


def test_the_official_library_verifies_what_arrives() -> None:
    """Headers and body pass the official verification, and the body is byte for byte what was given."""
    with Receiver() as receiver, running(WebhookSender({"ops": config(receiver.url)})) as sender:
        assert sender.offer(attempt(7))
        outcome = gather(sender, 1)[0]
    got = receiver.received[0]
    assert (outcome.status, outcome.tries, outcome.seq, outcome.id) == ("done", 1, 7, "msg_7")
    assert got.body == BODY
    assert Webhook(NEW).verify(got.body, got.headers) == json.loads(BODY)
    assert got.headers["webhook-id"] == "msg_7"
    assert got.headers["content-type"] == "application/json"


@pytest.mark.parametrize("place", [0, len(BODY) // 2, len(BODY) - 1])
def test_one_flipped_bit_of_the_body_fails(place: int) -> None:
    """A changed body does not verify."""
    now = int(time.time())
    headers = {"webhook-id": "m", "webhook-timestamp": str(now), "webhook-signature": sign(NEW, "m", now, BODY)}
    Webhook(NEW).verify(BODY, headers)
    flipped = bytearray(BODY)
    flipped[place] ^= 1
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(bytes(flipped), headers)


@pytest.mark.parametrize("header", ["webhook-id", "webhook-timestamp"])
def test_a_changed_id_or_time_fails(header: str) -> None:
    """Id and timestamp are signed too."""
    now = int(time.time())
    headers = {"webhook-id": "1", "webhook-timestamp": str(now), "webhook-signature": sign(NEW, "1", now, BODY)}
    headers[header] = str(int(headers[header]) + 1)
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(BODY, headers)


def test_rotation_signs_with_every_secret() -> None:
    """While two secrets are configured, receivers with either one verify, and one with neither does not."""
    stranger = "whsec_" + base64.b64encode(b"somebody else's key.............").decode()
    with Receiver() as receiver, running(WebhookSender({"ops": config(receiver.url, secret=f"{NEW} {OLD}")})) as sender:
        sender.offer(attempt(1))
        gather(sender, 1)
    got = receiver.received[0]
    assert len(got.headers["webhook-signature"].split(" ")) == 2
    Webhook(OLD).verify(got.body, got.headers)
    Webhook(NEW).verify(got.body, got.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(stranger).verify(got.body, got.headers)


def test_the_specification_s_example_is_reproduced() -> None:
    """The signature equals the one in the Standard Webhooks specification's own example."""
    # https://github.com/standard-webhooks/standard-webhooks, libraries' test vector (python/tests/test_webhooks.py)
    signature = sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", ["", "   ", "whsec_", "whsec_***", f"{NEW} whsec_%%"])
def test_a_bad_secret_is_refused_and_not_shown(secret: str) -> None:
    """A secret that is no base64, or empty, is the caller's mistake; the message does not repeat it."""
    with pytest.raises(ValueError, match="secret") as caught:
        sign(secret, "m", 1, b"")
    assert "***" not in str(caught.value)
    assert NEW not in str(caught.value)
