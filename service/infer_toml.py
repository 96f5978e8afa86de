"""The TOML that `init` writes: every monitor and feature on a line of its own, with what was noticed as a comment."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from service.config import Config, FeatureConfig, MonitorConfig

__all__ = ["FeatureNote", "MonitorNote", "write_toml"]

_HEAD = """\
# Written by `anchorwatch init` from a sample of events. Every choice below may be edited.
#
# watch  = false   leaves a feature out of the drift signals (ids, clocks, codes and constants drift by construction)
# learn  = false   leaves it out of the learners (ids, and columns that give the label away)
# min, max, allowed, required: limits are yours to set; a sample cannot know what will still come
"""


@dataclass(frozen=True, slots=True)
class FeatureNote:
    """What a person should know about a feature beside its type; `autocorrelation` is 0 where it is low."""

    missing: float = 0.0
    categories: int = 0
    autocorrelation: float = 0.0
    mixed: bool = False


@dataclass(slots=True)
class MonitorNote:
    """What a person should know about a monitor's sample; `few_numbers` are labels that look like classes."""

    rows: int
    labels: int
    few_numbers: list[str] = field(default_factory=list)
    features: dict[str, FeatureNote] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)


def write_toml(config: Config, notes: dict[str, MonitorNote]) -> str:
    """Return `config.monitors` as TOML with comments from `notes`; all other sections keep their defaults."""
    parts = [_HEAD]
    for name, monitor in config.monitors.items():
        parts.append("\n".join(_monitor(name, monitor, notes[name])))
    return "\n".join(parts) + "\n"


def _monitor(name: str, monitor: MonitorConfig, note: MonitorNote) -> list[str]:
    section = f"monitors.{_key(name)}"
    lines = [f"[{section}]", f"# seen: {note.rows} predictions, {note.labels} labels"]
    if note.roles:
        columns = ", ".join(f"{option} = {json.dumps(column)}" for option, column in note.roles.items())
        lines.append(f"# columns of the table that are no features: {columns}")
    if note.few_numbers:
        shown = ", ".join(note.few_numbers[:10])
        lines.append(f'# the labels are only {shown}: if these are classes, write task = "classification"')
        lines.append("# and a classifier, such as river.tree.HoeffdingTreeClassifier, below")
    lines.append(f'task = "{monitor.task}"')
    if monitor.timezone is not None:
        lines.append(f'timezone = "{monitor.timezone}"  # the times have no offset: name the zone they are in')
    if monitor.champion is not None:
        lines.append(f"champion = {_text(monitor.champion)}")
    for learner, setting in monitor.learners.items():
        lines += ["", f"[{section}.learners.{_key(learner)}]", f"estimator = {_text(setting.estimator)}"]
        if setting.parameters:
            given = ", ".join(f"{_key(name)} = {_text(str(value))}" for name, value in setting.parameters.items())
            lines.append(f"parameters = {{ {given} }}")
    lines += ["", f"[{section}.features]"]
    for feature, setting_of in monitor.features.items():
        lines.append(_feature(feature, setting_of, note.features.get(feature, FeatureNote())))
    return lines


def _feature(name: str, feature: FeatureConfig, note: FeatureNote) -> str:
    entries = [f'type = "{feature.type}"']
    if not feature.watch:
        entries.append("watch = false")
    if not feature.learn:
        entries.append("learn = false")
    if feature.reason:
        entries.append(f"reason = {_text(feature.reason)}")
    remark = "; ".join(_remarks(note))
    return f"{_key(name)} = {{ {', '.join(entries)} }}" + (f"  # {remark}" if remark else "")


def _remarks(note: FeatureNote) -> list[str]:
    remarks = []
    if note.categories:
        remarks.append(f"{note.categories} categories")
    if note.missing:
        remarks.append(f"{max(0.1, 100 * note.missing):.1f} % missing")
    if note.mixed:
        remarks.append("numbers and texts mixed: the rarer kind will be refused")
    if note.autocorrelation:
        remarks.append(
            f"neighbouring rows are alike ({note.autocorrelation:.2f}): "
            'if it follows the season, add reference = "trailing"'
        )
    return remarks


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _text(name)


def _text(value: str) -> str:
    """Write a basic TOML string: JSON's escapes are TOML's, but for code points beyond 16 bits and DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
