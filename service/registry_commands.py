"""`anchorwatch models` and `anchorwatch audit`: the registry of a running service by its address, or of a stopped one
by its data folder.

A newcomer needs one fact: what changes something (promote, roll-back) goes to a running service only, as a control
event; a data folder is only read.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

import msgspec

from service.config_errors import ConfigurationError
from stream.audit_chain import ChainHead
from stream.errors import StreamError, UnavailableError
from stream.store import AuditRow

if TYPE_CHECKING:
    from service.model_files import ModelFiles

__all__ = ["RegistryAnswerError", "run_audit", "run_models"]

_TIMEOUT_S = 60.0
_COLUMNS = ("version", "aliases", "learner", "reason", "parent", "event", "labels", "window", "bytes", "sha256")
_WANTED = {
    "list": (0, 0),
    "show": (1, 1),
    "compare": (2, 2),
    "promote": (0, 1),
    "roll-back": (0, 0),
    "download": (1, 1),
}
Version = Mapping[str, Any]


class RegistryAnswerError(StreamError):
    """The service, or the data folder, cannot do what was asked; the message says why and what to do."""


class _Source(Protocol):
    def listing(self, monitor: str, limit: int) -> Mapping[str, Any]: ...
    def one(self, monitor: str, reference: str) -> Version: ...
    def snapshot(self, monitor: str, version: Version) -> bytes: ...
    def audit(self, limit: int, *, verify: bool) -> Mapping[str, Any]: ...


class _Running:
    """A service that answers at an address."""

    def __init__(self, url: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigurationError(f"--url {url!r}: write an http:// or https:// address")
        self.url = url.rstrip("/")

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> bytes:
        """The content of an answer."""
        import httpx

        try:
            answer = httpx.request(method, self.url + path, json=body, timeout=_TIMEOUT_S)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UnavailableError(
                f"{self.url} does not answer ({str(error) or type(error).__name__}). Is the service running there? A "
                "stopped one is read with --data-dir"
            ) from error
        if answer.status_code >= 400:
            raise RegistryAnswerError(_problem(self.url, answer.status_code, answer.content))
        return answer.content

    def _get(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.json.decode(self.ask("GET", path))
        return found

    def listing(self, monitor: str, limit: int) -> Mapping[str, Any]:
        return self._get(f"/v1/monitors/{quote(monitor, safe='')}/versions?limit={limit}")

    def one(self, monitor: str, reference: str) -> Version:
        return self._get(f"/v1/monitors/{quote(monitor, safe='')}/versions/{quote(reference, safe='')}")

    def snapshot(self, monitor: str, version: Version) -> bytes:
        return self.ask("GET", f"/v1/monitors/{quote(monitor, safe='')}/versions/{version['version']}/download")

    def audit(self, limit: int, *, verify: bool) -> Mapping[str, Any]:
        return self._get(f"/v1/audit?limit={limit}&verify={'true' if verify else 'false'}")


def _problem(url: str, status: int, content: bytes) -> str:
    try:
        problem = msgspec.json.decode(content)
        return f"{problem['detail']} {problem['what_to_do']}"
    except (msgspec.DecodeError, KeyError, TypeError):
        return f"{url} answered {status}: is this Anchorwatch's address?"


class _Stopped:
    """The data folder of a service that does not run."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "checkpoints.sqlite"
        if not self.path.is_file():
            raise ConfigurationError(f"--data-dir {folder}: there is no checkpoints.sqlite in it")

    @property
    def _models(self) -> ModelFiles:
        from service.model_files import ModelFiles

        return ModelFiles(self.path.parent / "models")

    def _open(self) -> Any:
        from stream.sqlite_store import SQLiteStore

        try:
            return closing(SQLiteStore(self.path))
        except UnavailableError as error:
            raise RegistryAnswerError(f"{error}. If the service is running, ask it with --url") from error

    def _versions(self, monitor: str) -> list[Version]:
        """Versions of a monitor, newest first."""
        from service.registry import version_of

        with self._open() as store:
            rows = [row for place in store.places() for row in store.versions(*place)]
        found: dict[int, Version] = {row.number: version_of(row) for row in rows if row.monitor == monitor}
        if not found:
            known = ", ".join(sorted({row.monitor for row in rows})) or "none"
            raise RegistryAnswerError(
                f"no version of monitor {monitor!r} is stored here; monitors with versions: {known}"
            )
        return [found[number] for number in sorted(found, reverse=True)]

    def listing(self, monitor: str, limit: int) -> Mapping[str, Any]:
        from service.registry import aliases_of

        versions = self._versions(monitor)
        # Who challenges best is known to the running service only; the champion stands in every version.
        aliases = aliases_of(versions, versions[0]["champion"], None)
        shown = [v | {"aliases": [a for a, n in aliases.items() if n == v["version"]]} for v in map(dict, versions)]
        return {"monitor": monitor, "aliases": aliases, "versions": shown[:limit]}

    def one(self, monitor: str, reference: str) -> Version:
        listing = self.listing(monitor, 1 << 62)
        number = str(listing["aliases"].get(reference, reference))
        for version in listing["versions"]:
            if str(version["version"]) == number:
                found: Version = version
                return found
        raise RegistryAnswerError(f"monitor {monitor!r} has no version {reference!r}; `models list` shows all")

    def snapshot(self, monitor: str, version: Version) -> bytes:
        from service.model_files import ModelFileError

        try:
            return self._models.read(version["sha256"])
        except ModelFileError as error:
            raise RegistryAnswerError(f"version {version['version']} of {monitor!r}: {error}") from error

    def audit(self, limit: int, *, verify: bool) -> Mapping[str, Any]:
        from service import verification

        entries: list[Any] = []
        heads: dict[str, Any] = {}
        with self._open() as store:
            places = store.places()
            for pipeline, partition in places:
                rows = store.audit_rows(pipeline, partition, limit)
                entries += rows
                heads[f"{pipeline}/{partition}"] = _shown_head(store.audit_head(pipeline, partition), rows)
            verdicts = verification.verify(store, places, self._models) if verify else None
        entries.sort(key=lambda row: (-row.seq, row.partition))
        verified = None if verdicts is None else verification.shown(verdicts)
        found: dict[str, Any] = msgspec.to_builtins({"entries": entries[:limit], "heads": heads, "verified": verified})
        return found


def _shown_head(head: ChainHead | None, rows: Sequence[AuditRow]) -> dict[str, Any] | None:
    """The newest entry as the last commit signed it, with what the trail (`rows`, newest first) ends with where that
    is another one; None: there is no entry."""
    signed = head or ChainHead()
    newest = ChainHead(rows[0].seq, bytes.fromhex(rows[0].sha256)) if rows else ChainHead()
    if signed != newest:
        return {"seq": signed.seq, "sha256": signed.sha256.hex(), "trail_ends_with": newest.seq}
    return {"seq": signed.seq, "sha256": signed.sha256.hex()} if rows else None


def _source(options: argparse.Namespace) -> _Source:
    return _Running(options.url) if options.data_dir is None else _Stopped(options.data_dir)


def _print_json(content: Any) -> None:
    sys.stdout.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def run_models(options: argparse.Namespace) -> int:
    """Carry out `anchorwatch models ACTION MONITOR [VERSION …]`; returns the exit code."""
    if options.restore and options.action != "promote":
        raise ConfigurationError(f"--restore belongs to models promote, models {options.action} has no such option")
    least, most = _WANTED[options.action]
    if not least <= len(options.version) <= most:
        words = {0: "no version", 1: "one version", 2: "two versions"}
        wanted = words[most] if least == most else "a version or --learner NAME"
        raise ConfigurationError(
            f"models {options.action} takes a monitor and {wanted}; see `anchorwatch models --help`"
        )
    actions: dict[str, Callable[[argparse.Namespace], None]] = {
        "list": _list,
        "show": lambda o: _print_json(_source(o).one(o.monitor, o.version[0])),
        "compare": _compare,
        "promote": _promote,
        "roll-back": _roll_back,
        "download": _download,
    }
    actions[options.action](options)
    return 0


def _list(options: argparse.Namespace) -> None:
    found = _source(options).listing(options.monitor, options.limit)
    if options.json:
        _print_json(found)
        return
    _print_table([_COLUMNS, *(_cells(version) for version in found["versions"])])


def _cells(version: Version) -> tuple[str, ...]:
    window = version["metrics"].get("window", {})
    figure = next((f"{name} {window[name]:.4g}" for name in ("accuracy", "mae") if window.get(name) is not None), "-")
    kept = version["sha256"][:12] if version["blob"] == "kept" else "evicted"
    parent = "-" if version["parent"] is None else str(version["parent"])
    return (
        str(version["version"]), ",".join(version["aliases"]) or "-", version["learner"], version["reason"], parent,
        str(version["event"]), str(version["learned"]["labels"]), figure, str(version["bytes"]), kept,
    )  # fmt: skip


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write(line.rstrip() + "\n")


def _compare(options: argparse.Namespace) -> None:
    from service.registry import compare

    source = _source(options)
    a, b = (source.one(options.monitor, reference) for reference in options.version)
    found = compare(a, b)
    if options.json:
        _print_json(found)
        return
    heading = tuple(f"version {version['version']} ({version['learner']}, {version['reason']})" for version in (a, b))
    rows = [("", *heading), *_difference_rows(found["differences"])]
    _print_table(rows if len(rows) > 1 else [*rows, ("no difference", "", "")])


def _difference_rows(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, inner in tree.items():
        if "a" in inner and "b" in inner:
            rows.append((prefix + name, *(json.dumps(inner[side], ensure_ascii=False) for side in ("a", "b"))))
        else:
            rows += _difference_rows(inner, f"{prefix}{name}.")
    return rows


def _running(options: argparse.Namespace) -> _Running:
    source = _source(options)
    if not isinstance(source, _Running):
        raise ConfigurationError(f"models {options.action} needs a running service: give --url instead of --data-dir")
    return source


def _promote(options: argparse.Namespace) -> None:
    if (len(options.version) == 1) == (options.learner is not None):
        raise ConfigurationError("models promote takes either a version or --learner NAME")
    if options.restore and not options.version:
        raise ConfigurationError(
            "--restore puts the snapshot of a version back, a learner is promoted as it is: write `anchorwatch models "
            f"promote {options.monitor} VERSION --restore`, or leave --restore out"
        )
    body: dict[str, Any] = {"learner": options.learner}
    if options.version:
        (given,) = options.version
        body = {"version": int(given) if given.isdecimal() else given, "restore": options.restore}
    _change(options, "promote", body)


def _roll_back(options: argparse.Namespace) -> None:
    _change(options, "roll_back", {})


def _change(options: argparse.Namespace, path: str, body: Mapping[str, Any]) -> None:
    content = _running(options).ask("POST", f"/v1/monitors/{quote(options.monitor, safe='')}/{path}", body)
    done = msgspec.json.decode(content)
    if options.json:
        _print_json(done)
        return
    about = f" {done['learner']}" if "learner" in done else ""
    sys.stdout.write(
        f"{done['action']}{about}: in the log at partition {done['partition']}, offset {done['offset']}; "
        "`anchorwatch audit` says what came of it\n"
    )


def _download(options: argparse.Namespace) -> None:
    source = _source(options)
    version = source.one(options.monitor, options.version[0])
    data = source.snapshot(options.monitor, version)
    if hashlib.sha256(data).hexdigest() != version["sha256"]:
        raise RegistryAnswerError(f"what came for version {version['version']} does not match its hash: try again")
    path = options.output or Path(f"{options.monitor}-v{version['version']}.snapshot".replace("/", "_"))
    if path.exists() and not options.force:
        raise ConfigurationError(f"{path} exists; name another file or add --force")
    path.write_bytes(data)
    sys.stdout.write(f"{path}: {len(data)} bytes, sha256 {version['sha256']}\n")


def run_audit(options: argparse.Namespace) -> int:
    """Carry out `anchorwatch audit`; the exit code is 1 where the trail was forged, or nothing could be verified."""
    found = _source(options).audit(options.limit, verify=options.verify)
    verified = found["verified"]
    disagrees = any("trail_ends_with" in head for head in found["heads"].values() if head is not None)
    if options.json:
        _print_json(found)
    else:
        for row in reversed(found["entries"]):
            entry = json.dumps(row["entry"], sort_keys=True, ensure_ascii=False)
            sys.stdout.write(f"{row['partition']}/{row['seq']}  {row['sha256'][:12]}  {entry}\n")
        for name, head in found["heads"].items():
            sys.stdout.write(f"head of {name}: {'no entry' if head is None else _head(head)}\n")
        for verdict in [] if verified is None else verified["partitions"]:
            good = f"all {verdict['entries']} entries are as they were written"
            told = good if verdict["broken_seq"] is None else f"FORGED: {verdict['detail']}"
            sys.stdout.write(f"partition {verdict['partition']}: {told}\n")
        if verified is not None and not verified["partitions"]:
            sys.stdout.write("nothing was verified: there is no partition\n")
    return 0 if not disagrees and (verified is None or verified["ok"]) else 1


def _head(head: Mapping[str, Any]) -> str:
    signed = f"entry {head['seq']}, sha256 {head['sha256']}" if head["seq"] else "no entry"
    if "trail_ends_with" not in head:
        return signed
    return f"{signed} was signed, but the trail ends with entry {head['trail_ends_with']}: FORGED"
