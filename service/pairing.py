"""Which detector takes which signal, and which detectors run on a signal of a monitor.

A pairing that makes no sense is a configuration error that gives the reason and names what fits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from detectors.base import Direction, Domain
from service.config_errors import ConfigurationError

if TYPE_CHECKING:
    from service.config import FeatureConfig, MonitorConfig, SignalConfig

__all__ = ["DETECTORS", "RANKS", "Run", "check_pairings", "domain", "place", "runs", "trailing"]

# In the order in which they speak within one event.
DETECTORS: dict[str, frozenset[Domain]] = {
    "adwin": frozenset({"bits", "unit", "real"}),
    "page_hinkley": frozenset({"bits", "unit", "real"}),
    "ks": frozenset({"unit", "real"}),
    "cvm": frozenset({"unit", "real"}),
    "anderson_darling": frozenset({"unit", "real"}),
    "wasserstein": frozenset({"unit", "real"}),
    "psi": frozenset({"unit", "real"}),
    "jensen_shannon": frozenset({"unit", "real"}),
    "chi_square": frozenset({"codes"}),
    "g_test": frozenset({"codes"}),
    "cusum": frozenset({"bits", "unit", "real"}),
    "ewma_chart": frozenset({"unit", "real"}),
    "shewhart": frozenset({"unit", "real"}),
    "sprt": frozenset({"bits", "unit", "real"}),
    "kswin": frozenset({"unit", "real"}),
    "ddm": frozenset({"bits"}),
    "eddm": frozenset({"bits"}),
    "rddm": frozenset({"bits"}),
    "ecdd": frozenset({"bits"}),
    "hddm_a": frozenset({"bits", "unit"}),
    "hddm_w": frozenset({"bits", "unit"}),
    "stepd": frozenset({"bits"}),
    "e_detector": frozenset({"bits", "unit"}),
    "rate": frozenset({"bits", "unit"}),
    "energy": frozenset({"rows"}),
    "sliced_energy": frozenset({"rows"}),
    "mmd": frozenset({"rows"}),
    "domain_classifier": frozenset({"rows"}),
    "context": frozenset({"labelled"}),
}
_PLACES = {name: at for at, name in enumerate(DETECTORS)}
RANKS = ("ks", "cvm")
# They compare windows, and need a value at every prediction.
_LEVELS = frozenset({"ks", "cvm", "anderson_darling", "wasserstein", "psi", "jensen_shannon"})
# They compare with the first predictions, and cannot follow a reference that moves.
_FIXED = frozenset({"anderson_darling", "wasserstein", "psi", "jensen_shannon", "chi_square", "g_test"})
_HOLDS: dict[Domain, str] = {
    "bits": "zeros and ones",
    "unit": "fractions between 0 and 1",
    "real": "numbers",
    "codes": "categories",
    "rows": "all features jointly",
    "labelled": "features together with their labels",
}
_QUALITY = ("missing:", "unseen:")


class Run(NamedTuple):
    """A detector that runs on a signal, and the direction in which it alarms."""

    detector: str
    direction: Direction


def place(detector: str) -> int:
    """Where a detector stands among those that speak at the same event."""
    return _PLACES[detector]


def domain(monitor: MonitorConfig, signal: str) -> Domain:
    """What the values of a signal are."""
    if signal in ("joint", "context"):
        return "rows" if signal == "joint" else "labelled"
    if signal.startswith(_QUALITY):
        return "bits" if monitor.quality_block == 1 else "unit"
    if signal in ("review", "canary"):
        return "bits"
    feature = _feature(monitor, signal)
    if signal == "prediction" or (feature is not None and feature.type != "numeric"):
        return "codes"
    if signal.startswith(("error:", "own:")) and monitor.task == "classification":
        return "bits" if monitor.error_block == 1 else "unit"
    return "real"


def trailing(monitor: MonitorConfig, signal: str) -> bool:
    """Whether a signal is compared with a reference that moves along."""
    feature = _feature(monitor, signal)
    return _compared(signal) and ((feature and feature.reference) or monitor.reference.mode) == "trailing"


def _compared(signal: str) -> bool:
    """Whether a signal is there at every prediction, so that windows of it can be compared with a reference."""
    return signal.startswith("feature:") or signal in ("prediction", "score", "margin")


def _section(monitor: MonitorConfig, signal: str) -> SignalConfig | None:
    """The section of `signals` that holds for a signal: of its whole name, or of the longest part that ends where a
    `:`, `/` or `@` follows."""
    fitting = [
        key for key in monitor.signals if signal == key or (signal.startswith(key) and signal[len(key)] in ":/@")
    ]
    return monitor.signals[max(fitting, key=len)] if fitting else None


def _feature(monitor: MonitorConfig, signal: str) -> FeatureConfig | None:
    return monitor.features.get(signal.removeprefix("feature:")) if signal.startswith("feature:") else None


def runs(monitor: MonitorConfig, signal: str) -> tuple[Run, ...]:
    """The detectors that run on a signal, in the order in which they speak.

    Those that the feature or the signal names, else all that are enabled and take such a signal.
    """
    section, feature = _section(monitor, signal), _feature(monitor, signal)
    named = None if section is None else section.detectors
    if named is None and feature is not None:
        named = feature.detectors
    chosen = _by_default(monitor, signal) if named is None else sorted(named, key=place)
    return tuple(Run(name, _direction(monitor, name, section)) for name in chosen)


def _direction(monitor: MonitorConfig, detector: str, section: SignalConfig | None) -> Direction:
    if section is not None and section.direction is not None:
        return section.direction
    direction: Direction = getattr(getattr(monitor.detectors, detector), "direction", "both")
    return direction


def _by_default(monitor: MonitorConfig, signal: str) -> list[str]:
    enabled = [name for name in DETECTORS if getattr(monitor.detectors, name).enabled]
    if signal.startswith(_QUALITY) or signal == "review":
        return [name for name in enabled if name == "rate"]
    if trailing(monitor, signal):
        return [name for name in enabled if name in RANKS]
    kind = domain(monitor, signal)
    compared = _compared(signal)
    return [n for n in enabled if kind in DETECTORS[n] and n != "rate" and (compared or n not in _LEVELS)]


def check_pairings(key: str, monitor: MonitorConfig) -> None:
    """Refuse a detector that is named for a signal which it cannot take, or enabled where it can take none.

    Raises
    ------
    ConfigurationError
        names the key, what the signal holds, what the detector takes, and the detectors that fit.
    """
    for name, feature in monitor.features.items():
        for detector in feature.detectors or ():
            _refuse(f"{key}.features.{name}.detectors", monitor, f"feature:{name}", detector)
    for name, section in monitor.signals.items():
        if not name.startswith(_SIGNALS) or (name.startswith("feature:") and name[8:] not in monitor.features):
            known = ", ".join(s.rstrip(":") for s in _SIGNALS)
            raise ConfigurationError(f"{key}.signals.{name!r}: no such signal; they begin with: {known}")
        for detector in section.detectors or ():
            _refuse(f"{key}.signals.{name!r}.detectors", monitor, _example(name), detector)
    for kind, takes in DETECTORS.items():
        enabled = kind != "rate" and getattr(monitor.detectors, kind).enabled
        if enabled and "bits" in takes and not takes & {domain(monitor, "error:producer"), "real"}:
            raise ConfigurationError(
                f"{key}.detectors.{kind}.enabled = true, but it takes {_listed(takes)}, and "
                + _no_bits(monitor)
                + "; write enabled = false, or use "
                + _fitting(monitor, "error:producer")
            )


_SIGNALS = (
    "feature:", "prediction", "score", "margin", "missing", "unseen", "error", "residual", "own:", "delay", "joint",
    "context", "review", "canary",
)  # fmt: skip


def _example(key: str) -> str:
    """A signal to which a section holds."""
    return f"{key}:x" if key in ("missing", "unseen", "error", "residual") else key


def _no_bits(monitor: MonitorConfig) -> str:
    if monitor.task == "regression":
        return "the errors of a regression are numbers"
    return f"errors averaged over error_block = {monitor.error_block} are fractions"


def _listed(takes: frozenset[Domain]) -> str:
    return " or ".join(text for kind, text in _HOLDS.items() if kind in takes)


def _fitting(monitor: MonitorConfig, signal: str) -> str:
    kind = domain(monitor, signal)
    fitting = [
        name for name, takes in DETECTORS.items() if kind in takes and (_compared(signal) or name not in _LEVELS)
    ]
    if trailing(monitor, signal):
        fitting = [*RANKS, *(name for name in fitting if name not in _FIXED and name not in RANKS)]
    return ", ".join(fitting)


def _refuse(key: str, monitor: MonitorConfig, signal: str, detector: str) -> None:
    kind = domain(monitor, signal)
    moving = trailing(monitor, signal)
    if detector in _LEVELS and not _compared(signal) and kind in DETECTORS[detector]:
        reason = f"{detector} compares windows of predictions, and {signal} comes with labels"
    elif moving and detector in _FIXED:
        reason = f"{detector} compares with the first predictions, and the reference of {signal} is trailing"
    elif kind not in DETECTORS[detector] and not (moving and detector in RANKS):
        reason = f"{detector} takes {_listed(DETECTORS[detector])}, and {signal} holds {_HOLDS[kind]}"
    else:
        return
    raise ConfigurationError(f"{key}: {reason}; use {_fitting(monitor, signal)}")
