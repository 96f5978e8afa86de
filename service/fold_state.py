"""A fold's state as named components of canonical bytes, and its hash.

Rows that wait for labels are chunks of their own, so that a commit writes only what changed. A component carries
the fingerprint of its parameters: after a change of configuration it alone starts anew, and that is audited.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from service.config import MonitorConfig
from service.fold import MonitorFold
from service.state_codec import StateMismatchError, decode, encode, fingerprint

__all__ = ["FoldState", "configuration_version"]

_CHUNK = "pending/"
_MEMBERS = fingerprint("members, each with a form of its own")
_LEARNER = "learner/"
_SCORE_FORM = 2  # of the stored scores: those in another form start anew
_BASELINES = frozenset({"majority", "mean"})
# What rests on the answers of certain learners, and on values of a certain kind.
_OF_LEARNERS = frozenset({"canary", "contest", "disagreement"})
_OF_TASK = frozenset({"context", "errors", "review", "scores", "segments", "signals"})
_OPTIONAL = frozenset({"segments", "review", "disagreement", "canary", "contest"})
_PLAIN = (
    "newest_label", "newest_version", "unknown_features", "configuration", "reference_from", "watching_since_ms",
)  # fmt: skip


class FoldState:
    """Snapshots of one fold; remembers digests, so that unchanged components are not written again."""

    def __init__(self, fold: MonitorFold) -> None:
        self.fold = fold
        self._digests: dict[str, bytes] = {}
        config = fold.config
        self._fingerprints = _fingerprints(config, has_context=fold.context.wanted)
        self._adaptation = fingerprint(config.adaptation)
        self._forms = {
            name: fingerprint((_origin(config, name, member.role), config.seed, config.task))
            for name, member in fold.committee.members.items()
        }
        # Parts that most monitors do without: they have no component there, and never had one.
        optional: dict[str, Any] = {
            "segments": fold.scoreboard.segments, "review": fold.review, "disagreement": fold.disagreement,
            "canary": fold.canary,
            "contest": fold.contest,
        }  # fmt: skip
        self._wanted = {name: part for name, part in optional.items() if part.wanted}

    def changed(self) -> dict[str, bytes | None]:
        """Components that differ from the last call's; None: the component is gone."""
        written: dict[str, bytes | None] = {}
        for chunk, data in self.fold.join.dirty_chunks().items():
            self._note(written, f"{_CHUNK}{chunk:012d}", data)
        for name, tree in self._trees().items():
            self._note(written, name, encode(tree, self._fingerprints.get(name, b"\0" * 8)))
        for name in _OPTIONAL - self._wanted.keys():
            self._note(written, name, None)
        learners = self.fold.committee.learner_states()
        for name, data in learners.items():
            self._note(written, _LEARNER + name, data)
        for name in [n for n in self._digests if n.startswith(_LEARNER) and n.removeprefix(_LEARNER) not in learners]:
            self._note(written, name, None)  # no longer configured
        return written

    def _note(self, written: dict[str, bytes | None], name: str, data: bytes | None) -> None:
        if data is None:
            if self._digests.pop(name, None) is not None:
                written[name] = None
            return
        digest = hashlib.sha256(data).digest()
        if self._digests.get(name) != digest:
            self._digests[name] = digest
            written[name] = data

    def sha256(self) -> str:
        """The hash of all components as of the last `changed`."""
        whole = hashlib.sha256()
        for name in sorted(self._digests):
            whole.update(name.encode() + b"\0" + self._digests[name])
        return whole.hexdigest()

    def _trees(self) -> dict[str, Any]:
        fold = self.fold
        return {
            "core": {
                "join": fold.join.state(),
                "watermark": fold.watermark.state(),
                "rejected": fold.rejected,
                "task": fold.config.task,
                "features": _kinds(fold),
                **{name: getattr(fold, name) for name in _PLAIN},
            },
            "context": fold.context.state(),
            "committee": fold.committee.state()
            | {
                "policies": fold.committee.policy_states(),
                "forms": self._forms,
                "adaptation": self._adaptation,
            },
            "episodes": fold.episodes.state(),
            "errors": fold.errors.state(),
            "scores": fold.scoreboard.state(),
            "signals": fold.signals.state(),
            "versions": fold.versions.state(fold.committee),
            **{name: part.state() for name, part in self._wanted.items()},
        }

    def load(self, components: Mapping[str, bytes]) -> list[str]:
        """Restore a fresh fold; returns the names of components that had to start anew."""
        if "core" not in components:
            return []
        fold = self.fold
        core = decode(components["core"])
        chunks = {int(name.removeprefix(_CHUNK)): d for name, d in components.items() if name.startswith(_CHUNK)}
        fold.join.load(core["join"], chunks)
        fold.watermark.load(core["watermark"])
        for name in _PLAIN:
            setattr(fold, name, core[name])
        new, also = self._load_committee(components)
        void = _OF_LEARNERS if new - _BASELINES else frozenset[str]()
        if core.get("task", fold.config.task) != fold.config.task:
            # All values are classes where numbers are awaited, or the other way round.
            fold.join.begin_anew()
            fold.newest_label, void = None, _OF_LEARNERS | _OF_TASK
        self._rearrange(core.get("features", _kinds(fold)))
        fold.rejected = dict(core["rejected"])
        fold.episodes.load(decode(components["episodes"]))
        anew = [
            name
            for name in ("signals", "errors", "context", "scores", *self._wanted)
            if name in void or not self._load_part(name, components)
        ]
        for name in new if "scores" not in anew else ():
            fold.forget_scores(name)
        if "scores" in anew:
            self._void_tickets()
        if "segments" in anew or not fold.scoreboard.segments.wanted:
            self._void_segments()
        if "probe" in new:
            fold.reference_from = fold.join.next_number  # the new probe learns from the predictions to come
        # Of a part that started anew, or of another configuration, the champion may be another.
        if "contest" in anew:
            fold.contest.restart(fold.committee.champion, fold.join.next_number)
        fold.contest.begin(fold.committee.champion)
        if "versions" in components:
            fold.versions.load(decode(components["versions"]), fold.committee, anew=new)
        else:  # stored by a program that knew no versions
            fold.versions.anew(fold.committee)
        self._order_answers()
        self._digests = {name: hashlib.sha256(data).digest() for name, data in components.items()}
        return [*anew, *(_LEARNER + name for name in fold.committee.members if name in new), *also]

    def _rearrange(self, before: list[str]) -> None:
        """Put the features of what waits into the order of this configuration; what is new, or another kind, is
        missing."""
        now = _kinds(self.fold)
        for row in self.fold.join.rewritten() if before != now else ():
            if row.features:
                known = dict(zip(before, row.features, strict=True))
                row.features = [known.get(name) for name in now]

    def _order_answers(self) -> None:
        """Put what waits back into the committee's order: stored maps are in the order of text."""
        join, members = self.fold.join, self.fold.committee.members
        for number in range(join.next_number - len(join), join.next_number):
            answers = join.row(number).answers
            answers.update({name: answers.pop(name) for name in members if name in answers})

    def _load_committee(self, components: Mapping[str, bytes]) -> tuple[set[str], list[str]]:
        """Restore the members whose configuration is the same; the names of the others, and what else begins anew."""
        committee = self.fold.committee
        try:
            tree = self._committee_of(components["committee"])
        except (KeyError, StateMismatchError):
            return set(committee.members), []
        new = {name for name, form in self._forms.items() if tree["forms"].get(name) != form}
        learners = {n.removeprefix(_LEARNER): d for n, d in components.items() if n.startswith(_LEARNER)}
        same = tree["adaptation"] == self._adaptation
        committee.load(tree, learners, tree["policies"] if same else {}, anew=new)
        also = [] if same or not committee.policy_states() else ["policies"]
        also += [] if committee.champion == tree["champion"] else ["champion"]
        return new, also

    def _committee_of(self, data: bytes) -> dict[str, Any]:
        """The stored tree; before members had forms, one fingerprint stood for all that they are built of."""
        try:
            tree: dict[str, Any] = decode(data, _MEMBERS)
        except StateMismatchError:
            config = self.fold.config
            parts = (config.learners, config.probe, config.adaptation, config.seed, config.task)
            tree = decode(data, fingerprint(parts)) | {"forms": self._forms, "adaptation": self._adaptation}
        return tree

    def _void_tickets(self) -> None:
        """What was scored on a scoreboard that is gone cannot be re-scored."""
        for row in self.fold.join.rewritten():
            row.tickets = {}

    def _void_segments(self) -> None:
        """Predictions that wait belong to no segment of a configuration that is gone."""
        join = self.fold.join
        for number in range(join.next_number - len(join), join.next_number):
            if join.row(number).segments is not None:
                join.row(number).segments = None
                join.touch(number)

    def _load_part(self, name: str, components: Mapping[str, bytes]) -> bool:
        fold = self.fold
        try:
            tree = decode(components[name], self._fingerprints[name])
        except (KeyError, StateMismatchError):
            return False
        if name == "scores":
            fold.scoreboard.load(tree)
        elif name in self._wanted:
            self._wanted[name].load(tree)
        else:
            getattr(fold, name).load(tree)
        return True


def _fingerprints(config: MonitorConfig, *, has_context: bool) -> dict[str, bytes]:
    """Of each component the parameters that it belongs to."""
    watched = (config.features, config.reference, config.detectors, config.signals)
    signals = (*watched, config.quality_block, config.seed, config.max_categories)
    return {
        "signals": fingerprint(signals),
        "errors": fingerprint(
            (
                config.detectors,
                config.signals,
                config.reference,
                config.task,
                config.labels.age_n,
                config.error_block,
            )
        ),
        "context": fingerprint(
            (config.features, config.detectors.context, config.task, config.max_categories) if has_context else None
        ),
        "committee": _MEMBERS,
        "scores": fingerprint((_SCORE_FORM, config.metrics_window, config.max_classes, config.task)),
        "disagreement": fingerprint((list(config.learners), config.metrics_window, config.review)),
        "contest": fingerprint((config.promotion, list(config.learners), config.task, config.reference.n)),
        "canary": fingerprint((config.canary, config.metrics_window)),
        "review": fingerprint(
            (config.review, config.detectors, config.signals, config.reference, config.metrics_window, config.task)
        ),
        "segments": fingerprint(
            (
                config.segments,
                config.max_segments,
                config.segment_window,
                config.max_classes,
                config.task,
                list(config.features),
            )
        ),
    }


def _origin(config: MonitorConfig, name: str, role: str) -> Any:
    """What a member is built of."""
    if role == "probe":
        return config.probe or config.learners[config.champion or next(iter(config.learners))]
    return config.learners.get(name)


def _kinds(fold: MonitorFold) -> list[str]:
    """The features of waiting predictions in their order, each with its type."""
    return [f"{fold.config.features[name].type}:{name}" for name in fold.feature_names]


def configuration_version(config: Any) -> str:
    """A short name for a configuration: the same for equal ones."""
    return hashlib.sha256(msgspec.json.encode(config, order="deterministic")).hexdigest()[:12]
