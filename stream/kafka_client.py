"""How this project speaks to kafka-python: settings of the connection, topics, and what its errors mean.

A newcomer needs one fact: kafka-python's errors are translated by the one table below and nowhere else.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from stream.errors import BrokerUnavailableError, LogCorruptError, PositionLostError

with warnings.catch_warnings():
    # kafka-python 3.0 reads its schemas by functions that Python 3.11 alone calls deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    import kafka.errors as kafka_errors
    import kafka.record.util
    from kafka.admin import KafkaAdminClient

__all__ = ["SECURITY_KEYS", "connection_settings", "ensure_topics", "require_fast_crc", "translate", "translated"]

SECURITY_KEYS = (
    "sasl_kerberos_domain_name",
    "sasl_kerberos_name",
    "sasl_kerberos_service_name",
    "sasl_mechanism",
    "sasl_oauth_token_provider",
    "sasl_plain_password",
    "sasl_plain_username",
    "security_protocol",
    "ssl_cafile",
    "ssl_certfile",
    "ssl_check_hostname",
    "ssl_ciphers",
    "ssl_context",
    "ssl_crlfile",
    "ssl_keyfile",
    "ssl_password",
)

# What a foreign error means here; the first row that fits decides, and every other error of kafka-python
# means that the broker is unavailable: it is away, overloaded, refuses us, or something lies between.
_LOST = (kafka_errors.OffsetOutOfRangeError, kafka_errors.LogTruncationError, kafka_errors.NoOffsetForPartitionError)
_MEANINGS: tuple[tuple[tuple[type[Exception], ...], type[Exception]], ...] = (
    (_LOST, PositionLostError),
    ((kafka_errors.CorruptRecordError,), LogCorruptError),
    ((kafka_errors.MessageSizeTooLargeError, kafka_errors.RecordListTooLargeError), ValueError),
    ((kafka_errors.KafkaConfigurationError, kafka_errors.InvalidTopicError), ValueError),
    ((kafka_errors.KafkaError,), BrokerUnavailableError),
)


def ensure_topics(
    bootstrap_servers: str,
    topics: Mapping[str, int],
    *,
    security: Mapping[str, Any] | None = None,
    replication: int = -1,
    timeout_s: float = 15.0,
) -> None:
    """Create the topics that are missing, with so many partitions; those that exist stay as they are.

    `replication` -1 leaves the number of copies to the cluster.
    """
    with translated("create topics"), contextlib.ExitStack() as stack:
        admin = KafkaAdminClient(**connection_settings(bootstrap_servers, security, timeout_s))
        stack.callback(admin.close)
        present = set(admin.list_topics())
        for name in sorted(set(topics) - present):
            described = {"num_partitions": topics[name], "replication_factor": replication}
            # Another instance may be faster with one of them.
            with contextlib.suppress(kafka_errors.TopicAlreadyExistsError):
                admin.create_topics({name: described}, wait_for_metadata=True)


def connection_settings(bootstrap_servers: str, security: Mapping[str, Any] | None, timeout_s: float) -> dict[str, Any]:
    """Return what producer, consumer and admin client share; `ValueError` for a security setting that is none."""
    unknown = sorted(set(security or {}) - set(SECURITY_KEYS))
    if unknown:
        raise ValueError(f"security has {unknown[0]!r}: must be one of {', '.join(SECURITY_KEYS)}")
    return {
        "bootstrap_servers": bootstrap_servers.split(","),
        "bootstrap_timeout_ms": int(timeout_s * 1000),
        # Pauses of up to 30 s, the default, would add half a minute to every restart of a broker.
        "reconnect_backoff_max_ms": 1000,
        **(security or {}),
    }


@contextmanager
def translated(attempt: str) -> Iterator[None]:
    """Turn errors of kafka-python inside the block into ours; `attempt` says what was being done."""
    try:
        yield
    except kafka_errors.KafkaError as error:
        raise translate(error, attempt) from error


def translate(error: Exception, attempt: str) -> Exception:
    """Return the error of ours that an error of kafka-python means."""
    meaning = next(ours for theirs, ours in _MEANINGS if isinstance(error, theirs))
    return meaning(f"Kafka, attempt to {attempt}: {error}")


def require_fast_crc() -> None:
    """Refuse to run without the compiled checksum: 14,000 messages per second instead of 100,000."""
    if kafka.record.util.crc32c_c is None:
        raise ModuleNotFoundError("kafka-python runs without its crc32c extra: install the package crc32c")
