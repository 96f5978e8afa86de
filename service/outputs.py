"""From what a commit lets out to outbox rows, and from rows to messages.

Drift records and alerts are rows of their own; predictions, reviews and dead letters are packed, one row a commit and
destination. The id of a row names its content, so that a repeat after a crash carries the same id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec

from service.config import Config, WebhookConfig
from service.partition import Commit
from stream.dead_letters import dead_letter_body
from stream.store import OutboxRow, StoredRow
from stream.transport import Outgoing

__all__ = ["encode_body", "messages_of", "outbox_rows"]

# Keys in the order of text: a record that went through a checkpoint has the same bytes as one that did not.
_encode = msgspec.json.Encoder(order="deterministic").encode


def outbox_rows(commit: Commit, config: Config, now_ms: int) -> list[OutboxRow]:
    """Rows in the order of events: drifts and alerts, then a pack each of predictions, reviews and dead letters."""
    kafka = config.transport.kafka
    rows: list[OutboxRow] = []
    packs: dict[str, list[bytes]] = {"prediction": [], "review": []}
    for output in commit.outputs:
        if output.kind in packs:
            packs[output.kind].append(_encode(output.body))
        elif output.kind == "drift":
            rows.append(_row("drift", f"topic:{kafka.drift_topic}", _encode(output.body), now_ms, output.body["id"]))
            rows += _alerts(output.body, config.webhooks, now_ms)
    topics = {"prediction": ("predictions", kafka.predictions_topic), "review": ("reviews", kafka.review_topic)}
    for kind, (name, topic) in topics.items():
        if packs[kind]:
            rows.append(_row(name, f"topic:{topic}", b"\n".join(packs[kind]), now_ms))
    letters = [dead_letter_body(reject) for reject in commit.rejects]
    if letters:
        rows.append(_row("dead_letters", f"topic:{kafka.dead_letter_topic}", b"\n".join(letters), now_ms))
    return rows


def encode_body(body: dict[str, Any]) -> bytes:
    """An output's body as it leaves."""
    return _encode(body)


def _row(kind: str, destination: str, body: bytes, now_ms: int, row_id: str = "") -> OutboxRow:
    return OutboxRow(row_id or hashlib.sha256(body).hexdigest()[:32], kind, destination, body, now_ms)


def _alerts(record: dict[str, Any], webhooks: dict[str, WebhookConfig], now_ms: int) -> Iterable[OutboxRow]:
    notification = record.get("notification")
    if notification is None:
        return
    payload = _encode({"type": f"incident.{notification}", "timestamp": record["time"], "data": record})
    for name, webhook in webhooks.items():
        if record["status"] in webhook.statuses and record["severity"] in webhook.severities:
            yield _row("alert", f"webhook:{name}", payload, now_ms, record["id"])


class _Keyed(msgspec.Struct):
    monitor: str | None = None


_key_of = msgspec.json.Decoder(_Keyed).decode


def messages_of(row: StoredRow) -> list[Outgoing]:
    """The messages of a row for a topic; a pack has one a line."""
    lines = [row.row.body] if row.row.kind == "drift" else row.row.body.split(b"\n")
    messages = []
    for number, line in enumerate(lines):
        key = _key_of(line).monitor
        identity = row.row.id if row.row.kind == "drift" else f"{row.row.id}-{number}"
        messages.append(Outgoing(None if key is None else key.encode(), line, (("id", identity.encode()),)))
    return messages
