"""The versions of one partition's monitors as they are stored: which rows a commit adds, which snapshots it lets go.

A newcomer needs one fact: `plan` is pure and `adopt` comes after the commit, so that a commit that has to be tried
again plans the same.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from service.config import RegistryConfig
from service.fold_output import FoldOutput
from stream.errors import StoreCorruptError
from stream.store import VersionRow

__all__ = [
    "ROWS_MAX", "Plan", "Registry", "aliases_of", "audit_entry", "best_challenger", "compare", "row_hash", "version_of",
]  # fmt: skip

ROWS_MAX = 1_000
"""Rows kept for one monitor, with or without snapshot; the audit trail goes on naming older ones by their hash."""

Version = dict[str, Any]
_encode = msgspec.json.Encoder(order="deterministic").encode


@dataclass(slots=True)
class Plan:
    """What a commit stores for the registry."""

    rows: list[VersionRow] = field(default_factory=list)
    snapshots: dict[str, bytes] = field(default_factory=dict)
    after: dict[str, dict[int, Version]] = field(default_factory=dict)
    evicted: set[str] = field(default_factory=set)


class Registry:
    """Versions by monitor and number; an entry is replaced and never changed, so that views may hold it.

    Parameters
    ----------
    config : caps for each monitor
    learners : configured learners by monitor
    """

    def __init__(
        self, config: RegistryConfig, learners: Mapping[str, Iterable[str]], rows: Sequence[VersionRow] = ()
    ) -> None:
        self._config = config
        self._learners = {monitor: tuple(names) for monitor, names in learners.items()}
        self._versions: dict[str, dict[int, Version]] = {}
        for row in rows:
            if row.body is not None:
                self._versions.setdefault(row.monitor, {})[row.number] = version_of(row)

    def newest_first(self, monitor: str) -> list[Version]:
        """Versions of a monitor, newest first."""
        return list(reversed(self._versions.get(monitor, {}).values()))

    def kept(self, monitor: str) -> tuple[int, int]:
        """How many versions of a monitor have their snapshot, and the bytes of these, each content counted once."""
        return _kept(self._versions.get(monitor, {}))

    def plan(self, outputs: Iterable[FoldOutput]) -> Plan:
        """What to store for the versions among `outputs`."""
        plan = Plan()
        for output in outputs:
            if output.kind != "version":
                continue
            body = {name: value for name, value in output.body.items() if name != "snapshot"}
            versions = plan.after.setdefault(body["monitor"], dict(self._versions.get(body["monitor"], {})))
            versions[body["version"]] = body | {"blob": "kept"}
            plan.snapshots[body["sha256"]] = output.body["snapshot"]
        for monitor, versions in plan.after.items():
            self._make_room(monitor, versions)
            self._note(plan, monitor, versions)
        return plan

    def _note(self, plan: Plan, monitor: str, versions: dict[int, Version]) -> None:
        before = self._versions.get(monitor, {})
        for number in before.keys() - versions.keys():
            plan.rows.append(VersionRow(monitor, number, "", None))
        for number, version in versions.items():
            if before.get(number) is not version:
                blob = version["sha256"] if version["blob"] == "kept" else ""
                plan.rows.append(VersionRow(monitor, number, blob, _encode(version)))
        plan.evicted |= _blobs(before) - _blobs(versions)
        # A snapshot that came and went within one commit is never written.
        for name in set(plan.snapshots) - set().union(*map(_blobs, plan.after.values())):
            del plan.snapshots[name]

    def _make_room(self, monitor: str, versions: dict[int, Version]) -> None:
        """Let the oldest snapshots go, then the oldest rows, as far as the caps ask and nothing protects them."""
        protected = self._protected(monitor, versions)
        count, size = _kept(versions)
        holders = Counter(version["sha256"] for version in versions.values() if version["blob"] == "kept")
        for number, version in list(versions.items()):
            if count <= self._config.max_versions and size <= self._config.max_bytes:
                break
            if number in protected or version["blob"] != "kept":
                continue
            versions[number] = version | {"blob": "evicted"}
            count -= 1
            holders[version["sha256"]] -= 1
            size -= 0 if holders[version["sha256"]] else version["bytes"]
        for number in list(versions)[: max(0, len(versions) - ROWS_MAX)]:
            if number not in protected:
                del versions[number]

    def _protected(self, monitor: str, versions: Mapping[int, Version]) -> set[int]:
        """The newest version of every configured learner, champion or challenger, and their parents."""
        newest = _newest_by_learner(versions.values())
        learners = self._learners.get(monitor, ())
        heads = [newest[name] for name in learners if name in newest]
        return {head["version"] for head in heads} | {head["parent"] for head in heads if head["parent"] is not None}

    def adopt(self, plan: Plan) -> None:
        """Take over what is committed."""
        self._versions.update(plan.after)


def _newest_by_learner(versions: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """`versions` from old to new."""
    return {version["learner"]: version for version in versions}


def _blobs(versions: Mapping[int, Version]) -> set[str]:
    return {version["sha256"] for version in versions.values() if version["blob"] == "kept"}


def _kept(versions: Mapping[int, Version]) -> tuple[int, int]:
    kept = [version for version in versions.values() if version["blob"] == "kept"]
    return len(kept), sum({version["sha256"]: version["bytes"] for version in kept}.values())


def audit_entry(version: Mapping[str, Any]) -> dict[str, Any]:
    """What the audit trail notes of a new version; the hashes of its snapshot and of all that its row shows stand in
    the chain of hashes."""
    named = ("monitor", "version", "learner", "reason", "parent", "event", "sha256")
    return {"action": "version"} | {name: version[name] for name in named} | {"row_sha256": row_hash(version)}


def version_of(row: VersionRow) -> Version:
    """The version that a row holds.

    Raises
    ------
    StoreCorruptError
        it was changed from outside.
    """
    try:
        version = msgspec.json.decode(row.body or b"", type=Version)
        if version["version"] == row.number and version["monitor"] == row.monitor:
            return version
        why = "its body is of another version"
    except (ValueError, OverflowError, RecursionError, KeyError) as error:
        why = f"its body cannot be read ({error})"
    raise StoreCorruptError(
        f"version {row.number} of monitor {row.monitor!r} was changed from outside, {why}: restore the data folder "
        f"from a backup; `anchorwatch audit --verify` names what else was changed"
    )


def row_hash(version: Mapping[str, Any]) -> str:
    """The hash of what a version shows, of its snapshot's hash too; whether the snapshot is kept changes later.

    It is that of JSON with keys in order and no spaces, and the same for a row that was stored and read back.
    """
    shown = {name: value for name, value in version.items() if name not in {"snapshot", "blob"}}
    return hashlib.sha256(_encode(msgspec.json.decode(_encode(shown)))).hexdigest()


def aliases_of(versions: Sequence[Mapping[str, Any]], champion: str | None, challenger: str | None) -> dict[str, int]:
    """`champion` and `challenger` as version numbers: the newest version of that learner, as far as there is one."""
    newest = _newest_by_learner(reversed(versions))
    named = {"champion": champion, "challenger": challenger}
    return {alias: newest[name]["version"] for alias, name in named.items() if name is not None and name in newest}


def best_challenger(monitor: Mapping[str, Any]) -> str | None:
    """The learner of a monitor's view, other than the champion, that does best in the sliding window: highest accuracy,
    or lowest MAE; the first of equals in order of configuration; without any figure, the first."""
    classification = monitor["task"] == "classification"
    ranked: list[tuple[float, int, str]] = []
    for name, figures in monitor["learners"].items():
        if figures["role"] == "challenger":
            value = figures.get("window", {}).get("accuracy" if classification else "mae")
            worst = float("inf")
            ranked.append((worst if value is None else -value if classification else value, len(ranked), name))
    return min(ranked)[2] if ranked else None


def compare(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    """Two versions side by side: both, and under `differences` whatever differs in estimator, parameters, figures and
    data range; numbers with `b` minus `a`."""
    parts = {part: _differences(a[part], b[part]) for part in ("learned", "metrics", "parameters")}
    if a["estimator"] != b["estimator"]:
        parts["estimator"] = {"a": a["estimator"], "b": b["estimator"]}
    return {"a": a, "b": b, "same_snapshot": a["sha256"] == b["sha256"], "differences": parts}


def _differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in [*a, *(name for name in b if name not in a)]:
        one, other = a.get(name), b.get(name)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            inner = _differences(one, other)
            found |= {name: inner} if inner else {}
        elif one != other:
            found[name] = {"a": one, "b": other} | _step(one, other)
    return found


def _step(one: Any, other: Any) -> dict[str, Any]:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return {"difference": other - one}
    return {}
