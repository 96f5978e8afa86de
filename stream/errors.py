"""Errors of the stream layer, one tree; what an operator does stands in each docstring.

StreamError
├── UnavailableError      the outside world is away: retry under one deadline
│   ├── BrokerUnavailableError
│   └── StoreUnavailableError
├── FencedError           another owner holds the partition: drop its memory, release it
└── CorruptionError       a broken invariant: stop the partition, commit nothing
    ├── StoreCorruptError
    ├── LogCorruptError
    └── PositionLostError
"""

from __future__ import annotations

__all__ = [
    "BrokerUnavailableError",
    "CorruptionError",
    "FencedError",
    "LogCorruptError",
    "PositionLostError",
    "StoreCorruptError",
    "StoreUnavailableError",
    "StreamError",
    "UnavailableError",
]


class StreamError(Exception):
    """Root of every error that this package raises on purpose."""


class UnavailableError(StreamError):
    """Something outside is away; the caller retries and reports itself as not ready."""


class BrokerUnavailableError(UnavailableError):
    """The broker does not answer. Check its address and that it runs; work resumes by itself."""


class StoreUnavailableError(UnavailableError):
    """The checkpoint store refuses reads or writes. Check disk space and permissions; work resumes by itself."""


class FencedError(StreamError):
    """A newer owner has claimed the partition. Nothing to do: this instance gives it up."""


class CorruptionError(StreamError):
    """Stored data contradicts itself. Keep the files, restore the last backup, report it."""


class StoreCorruptError(CorruptionError):
    """A blob does not match its checksum. Restore the data folder from a backup, or delete it to start anew."""


class LogCorruptError(CorruptionError):
    """A log record before the torn tail fails its checksum. Restore the log's files from a backup."""


class PositionLostError(CorruptionError):
    """The stored position lies outside what the log still holds. Decide: restore the log or start anew."""
