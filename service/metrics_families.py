"""Prometheus families with a cap on their series, so that no stream can blow up a scrape.

Beyond the cap of one monitor, counters go on under the label value `other`; gauges, of which no sum makes sense, are
left out. Both are counted, and the count is a metric itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

__all__ = ["OTHER", "Families"]

OTHER = "other"
_LABEL_MAX = 120
_PREFIX = "anchorwatch_"
_Labels = tuple[str, ...]


class Families:
    """The families of one scrape, in the order of their first mention.

    Parameters
    ----------
    series_max : series of one family for one monitor (or for the service), 1 or more

    Notes
    -----
    A family is emitted as soon as it is declared, even without a series, so that a scrape always shows all names.
    """

    def __init__(self, series_max: int) -> None:
        if series_max < 1:
            raise ValueError(f"series_max = {series_max} must be 1 or more")
        self.dropped = 0
        self._series_max = series_max
        self._families: dict[str, Metric] = {}
        self._kinds: dict[str, str] = {}
        self._values: dict[str, dict[_Labels, float]] = {}
        self._counts: dict[tuple[str, str], int] = {}

    def gauge(self, name: str, documentation: str, *labels: str) -> None:
        """Declare a gauge."""
        self._declare(name, GaugeMetricFamily(_PREFIX + name, documentation, labels=labels), "gauge")

    def counter(self, name: str, documentation: str, *labels: str) -> None:
        """Declare a counter; its samples end in `_total`."""
        self._declare(name, CounterMetricFamily(_PREFIX + name, documentation, labels=labels), "counter")

    def info(self, name: str, documentation: str, value: Mapping[str, str]) -> None:
        """Declare and fill an info metric; its sample ends in `_info`."""
        family = InfoMetricFamily(_PREFIX + name, documentation, value={k: _short(v) for k, v in value.items()})
        self._declare(name, family, "info")

    def _declare(self, name: str, family: Metric, kind: str) -> None:
        self._families[name], self._kinds[name], self._values[name] = family, kind, {}

    def add(self, name: str, value: Any, *labels: Any) -> None:
        """Add one value, unless it is None or not finite; the cap counts by the first label."""
        if value is None or isinstance(value, str) or not math.isfinite(value):
            return
        series = tuple(map(_short, labels))
        values = self._values[name]
        if series not in values and not self._has_room(name, series):
            self.dropped += 1
            if self._kinds[name] != "counter" or len(series) < 2:
                return
            series = (series[0], *(OTHER for _ in series[1:]))
        if self._kinds[name] == "counter":
            values[series] = values.get(series, 0.0) + float(value)
        else:
            values[series] = float(value)

    def _has_room(self, name: str, series: _Labels) -> bool:
        group = (name, series[0] if len(series) > 1 else "")
        count = self._counts.get(group, 0)
        self._counts[group] = count + 1
        return count < self._series_max

    def collect(self) -> Iterator[Metric]:
        """The families with their samples."""
        for name, family in self._families.items():
            for labels, value in self._values[name].items():
                family.add_metric(labels, value)  # type: ignore[attr-defined]  # both kinds that hold values have it
            yield family


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _LABEL_MAX else text[: _LABEL_MAX - 1] + "…"
