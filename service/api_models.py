"""What the HTTP API asks of the service behind it, and the bodies that it takes.

A newcomer needs one fact: HTTP never touches state. It reads a view that the worker publishes after each commit, and
changes anything only by appending events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from service.config import Config
from service.ingest import Ingest
from stream.store import AuditVerdict

__all__ = ["ControlBody", "NotReadyError", "PredictBody", "PromoteBody", "ServicePort"]

FeatureValue = str | int | float | bool | None


class NotReadyError(LookupError):
    """The monitor has no champion that can answer yet; the message says what is missing."""


class ServicePort(Protocol):
    """The service as HTTP sees it. Every method may be called from any thread and returns at once, except `predict`,
    `snapshot`, `verify_audit` and what `ingest` returns, which HTTP calls on threads of its own."""

    def view(self) -> Mapping[str, Any]:
        """Return the read view of the last commit; it never changes once returned."""
        ...

    def ready(self) -> tuple[bool, Mapping[str, str]]:
        """Return whether everything that serving needs is there, and per part "ok" or the reason in plain words."""
        ...

    def ingest(self) -> Ingest:
        """Return the way in for events."""
        ...

    def predict(self, monitor: str, features: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer with the last committed champion: `prediction`, `scores` (classification), `model_version`.

        Raises
        ------
        KeyError
            the monitor is not known
        NotReadyError
            it has no champion
        ValueError
            the features are not what the champion takes
        """
        ...

    def config(self) -> Config:
        """Return the active configuration."""
        ...

    def webhook_status(self) -> Mapping[str, Any]:
        """Return `WebhookSender.status()`."""
        ...

    def snapshot(self, sha256: str) -> bytes:
        """Return the snapshot of a model version.

        Raises
        ------
        ModelFileError
            it is missing or damaged
        """
        ...

    def verify_audit(self) -> Sequence[AuditVerdict]:
        """Check the whole audit trail of every partition of this instance.

        Raises
        ------
        UnavailableError
            nobody could answer within some seconds
        """
        ...


class PredictBody(msgspec.Struct, forbid_unknown_fields=True):
    """`POST /v1/monitors/{m}/predict`. `id`, `time` and `segment` matter only when the prediction is recorded."""

    features: dict[str, FeatureValue]
    id: str | int | None = None
    time: str | int | None = None
    segment: dict[str, str | int | bool] | None = None


class ControlBody(msgspec.Struct, forbid_unknown_fields=True):
    """`POST /v1/monitors/{m}/control`."""

    action: str
    parameters: dict[str, Any] = {}


class PromoteBody(msgspec.Struct, forbid_unknown_fields=True):
    """`POST /v1/monitors/{m}/promote`: a learner by name, or a version by number or alias. `restore` puts the version's
    snapshot back even where its learner still stands."""

    version: int | str | None = None
    learner: str | None = None
    restore: bool = False
