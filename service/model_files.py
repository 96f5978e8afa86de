"""Snapshots of model versions as files named by their SHA-256: written by the worker before the commit that names
them, read by HTTP at any time.

A newcomer needs one fact: a file never changes once it has its name, and whoever reads it checks the name against the
content; so no lock is needed, and damage is told instead of handed out.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection
from pathlib import Path

from stream.durable_files import sync_folder
from stream.errors import StoreUnavailableError
from stream.failpoints import failpoint

__all__ = ["ModelFileError", "ModelFiles"]

_NAME = re.compile(r"[0-9a-f]{64}")


class ModelFileError(LookupError):
    """A snapshot is not there, or not what its name says; the message says which."""


class ModelFiles:
    """The folder `models` of a data folder; made when the first snapshot comes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, snapshots: dict[str, bytes]) -> None:
        """Make each snapshot durable under its name, unless it is there already.

        Raises
        ------
        StoreUnavailableError
            the folder cannot be written; the same call may be made again.
        """
        fresh = {name: data for name, data in snapshots.items() if not self._is_whole(name)}
        if not fresh:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for name, data in fresh.items():
                self._write(name, data)
            sync_folder(self.folder)
            sync_folder(self.folder.parent)
        except OSError as error:
            raise StoreUnavailableError(f"the snapshots in {self.folder} cannot be written: {error}") from error
        failpoint("models.after_write")

    def _is_whole(self, name: str) -> bool:
        try:
            self.read(name)
        except ModelFileError:
            return False
        return True

    def _write(self, name: str, data: bytes) -> None:
        temporary = self.folder / f"{name}.new"
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.folder / name)

    def read(self, name: str) -> bytes:
        """The bytes of a snapshot.

        Raises
        ------
        ModelFileError
            it is missing, unreadable or damaged.
        """
        if not _NAME.fullmatch(name):
            raise ModelFileError(f"{name[:100]!r} names no snapshot")
        try:
            data = (self.folder / name).read_bytes()
        except FileNotFoundError as error:
            raise ModelFileError(f"the snapshot {name} is missing from {self.folder.name}") from error
        except OSError as error:
            raise ModelFileError(f"the snapshot {name} cannot be read: {error.strerror}") from error
        if hashlib.sha256(data).hexdigest() != name:
            raise ModelFileError(f"the snapshot {name} is damaged: its content does not match its name")
        return data

    def sweep(self, wanted: Collection[str]) -> int:
        """Delete snapshots that nobody names, and what a crash left half written; returns how many."""
        swept = 0
        try:
            found = list(self.folder.iterdir())
        except OSError:
            return 0
        for path in found:
            ours = _NAME.fullmatch(path.name.removesuffix(".new")) is not None
            if ours and path.name not in wanted:
                swept += self._delete(path)
        return swept

    def delete(self, names: Collection[str]) -> None:
        """Delete snapshots; what cannot be deleted now is swept at the next start."""
        for name in names:
            self._delete(self.folder / name)

    @staticmethod
    def _delete(path: Path) -> bool:
        try:
            path.unlink()
        except OSError:
            return False
        return True
