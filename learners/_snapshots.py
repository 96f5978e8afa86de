"""Snapshots of the learners that are built from a configuration: one form, one set of checks, one way to refuse."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

from learners import codec
from learners.errors import LearnerError, SnapshotError

__all__ = ["Snapshots"]

_CONTRADICTIONS = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, LearnerError)


class Snapshots(ABC):
    """Gives a learner `snapshot`, `restore` and `nbytes`; it says what its state is and how to take it over."""

    kind: ClassVar[str]
    _config: dict[str, Any]
    _nbytes: int | None = None

    @property
    def nbytes(self) -> int:
        """Size of the newest snapshot in bytes; takes one if there is none yet."""
        return len(self.snapshot()) if self._nbytes is None else self._nbytes

    def snapshot(self) -> bytes:
        """Canonical bytes of configuration and state, with the snapshots of learners inside."""
        data = codec.encode({"kind": self.kind, "config": self._config, **self._tree()})
        self._nbytes = len(data)
        return data

    @classmethod
    def restore(cls, data: bytes) -> Self:
        """The learner that `snapshot` was taken of.

        Raises
        ------
        SnapshotError
            the bytes are damaged, contradict themselves, or belong to another learner.
        """
        tree = codec.decode(data)
        if not isinstance(tree, dict) or tree.get("kind") != cls.kind:
            raise SnapshotError(f"this is no snapshot of {cls.kind!r}: restore a backup, or let it start anew")
        try:
            learner = cls._built(tree)
            learner._take_over(tree)  # noqa: SLF001 # its own class
        except SnapshotError:
            raise
        except _CONTRADICTIONS as error:
            raise SnapshotError(f"the snapshot of {cls.kind!r} contradicts itself: {error}") from error
        learner._nbytes = len(data)  # noqa: SLF001
        return learner

    @classmethod
    def _built(cls, tree: dict[str, Any]) -> Self:
        """The learner that takes the state over: an untrained one of the configuration."""
        return cls(**tree["config"])

    @abstractmethod
    def _tree(self) -> dict[str, Any]:
        """The state, beside the configuration, as `codec.encode` takes it."""

    @abstractmethod
    def _take_over(self, tree: dict[str, Any]) -> None:
        """Restore what `_tree` gave; any of the errors above where it contradicts itself."""
