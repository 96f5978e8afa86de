"""The configuration tree: one typed value, from TOML under the environment.

A key that is not known is an error that names the nearest known one. Nothing here reads a clock or a socket.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from detectors.base import Direction
from service.config_checks import check
from service.config_errors import ConfigurationError, explain, override, reject_unknown
from service.detector_config import DetectorName, DetectorsConfig
from service.durations import parse_duration_ms
from stream.schema import FeatureSchema, MonitorSchema

__all__ = [
    "AdaptationConfig",
    "CanaryConfig",
    "CommitConfig",
    "Config",
    "ConfigurationError",
    "DeadLettersConfig",
    "EmbeddedConfig",
    "FeatureConfig",
    "HttpConfig",
    "KafkaConfig",
    "LabelsConfig",
    "LearnerConfig",
    "MonitorConfig",
    "PipelineConfig",
    "PromotionConfig",
    "ReferenceConfig",
    "RegistryConfig",
    "ReviewConfig",
    "SignalConfig",
    "TransportConfig",
    "WebhookConfig",
    "load",
    "parse",
    "parse_duration_ms",
]


class _Base(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class FeatureConfig(FeatureSchema, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A feature with how it is used. `watch = false` leaves it out of the drift signals, `learn = false` out of the
    learners; `reason` says why. `reference` overrides the monitor's."""

    watch: bool = True
    learn: bool = True
    reason: str = ""
    reference: Literal["fixed", "trailing"] | None = None
    detectors: tuple[DetectorName, ...] | None = None
    min_effect: float | None = None


class LabelsConfig(_Base, frozen=True, kw_only=True):
    """How labels are joined. `age` is the fixed age at which a prediction is judged; left out, it becomes the 95th
    percentile of the first `age_n` label delays. `on_timeout` is `"unlabelled"` or `{value = …}`."""

    age: str | None = None
    age_n: int = 500
    timeout: str | None = None
    on_timeout: Literal["unlabelled"] | dict[str, Any] = "unlabelled"
    correction_window: int = 10_000
    max_pending: int = 50_000
    max_early: int = 10_000


class ReferenceConfig(_Base, frozen=True, kw_only=True):
    """What current windows are compared with: the first `n` predictions (`fixed`), or the `n` predictions that end
    `gap` before the window, renewed every `step` (`trailing`)."""

    mode: Literal["fixed", "trailing"] = "fixed"
    n: int = 1_000
    window: int = 1_000
    gap: int = 0
    step: int = 500


class SignalConfig(_Base, frozen=True, kw_only=True):
    """What runs on one signal, or on all whose name goes on after this one with `:`, `/` or `@` (`error`, `missing`):
    its detectors, instead of those that are enabled, and the direction in which they alarm (up = worse for errors)."""

    detectors: tuple[DetectorName, ...] | None = None
    direction: Direction | None = None


class LearnerConfig(_Base, frozen=True, kw_only=True):
    """A learner by its dotted name: `anchorwatch.AdaptiveRandomForest`, or one of river's, as
    `river.tree.HoeffdingTreeClassifier`."""

    estimator: str
    parameters: dict[str, Any] = {}


class ReviewConfig(_Base, frozen=True, kw_only=True):
    """Which answers a person should look at first: classes whose two best probabilities differ by less than `margin`,
    numbers on which the learners' answers lie further apart than `spread`. `of`: whose answers, the champion's (where
    the event carries no prediction) or the producer's. `priority`: `margin`, `rare`, or `value:FEATURE`."""

    of: Literal["champion", "producer"] = "champion"
    margin: float | None = None
    spread: float | None = None
    priority: str = "margin"


class AdaptationConfig(_Base, frozen=True, kw_only=True):
    """How learners follow a drift (`learners.policies`): with `warm_replacement` a fresh learner is trained beside the
    old one from a warning on, and replaces it on drift; `auto` does that but for forests, which renew their trees by
    themselves. A parameter that the policy does not use is refused."""

    policy: Literal[
        "auto", "none", "warm_replacement", "reset", "periodic", "local_repair", "reweight", "recurring"
    ] = "auto"  # fmt: skip
    watch: Literal["concept", "own_error"] = "concept"
    cooldown: int = 1_000
    min_warm: int = 200
    alpha: float = 0.05
    period: int = 10_000
    keep: float = 0.2
    pool: int = 5
    pool_bytes: int = 16 * 1024 * 1024
    sketch_n: int = 200

    def parameters(self) -> dict[str, Any]:
        """What policies take, by name; not each of them uses all."""
        return {name: getattr(self, name) for name in self.__struct_fields__ if name not in {"policy", "watch"}}


class CanaryConfig(_Base, frozen=True, kw_only=True):
    """An old, validated model: the frozen `probe`, or a learner. Its disagreement with the served answers is a signal
    while labels are on their way. `apart`, for regression, is how far apart two numbers must lie to differ."""

    model: str = "probe"
    apart: float | None = None


class PromotionConfig(_Base, frozen=True, kw_only=True):
    """When a challenger takes the champion's place: once a confidence sequence at level `alpha` over the difference of
    their losses says that it is better by more than `min_lead`. `off` leaves promotion to people."""

    mode: Literal["auto", "off"] = "auto"
    loss: Literal["zero_one", "brier", "absolute", "squared"] | None = None
    alpha: float = 0.05
    min_lead: float = 0.0
    min_n: int = 200
    cooldown: int = 1_000


class MonitorConfig(_Base, frozen=True, kw_only=True):
    """What watches one model's stream. Errors that come in runs are no independent values: `error_block` averages
    them over that many labelled predictions before a detector sees them. A rare class drowns in all errors:
    `error_classes` names labels whose errors are signals of their own. `quality_block` averages missing and unseen
    values, which come in runs too, over that many predictions. `segments` names the slices of an event, or categorical
    features, whose every value has figures of its own."""

    task: Literal["classification", "regression"] = "classification"
    timezone: str | None = None
    features: dict[str, FeatureConfig] = {}
    labels: LabelsConfig = LabelsConfig()
    reference: ReferenceConfig = ReferenceConfig()
    detectors: DetectorsConfig = DetectorsConfig()
    signals: dict[str, SignalConfig] = {}
    learners: dict[str, LearnerConfig] = {}
    champion: str | None = None
    probe: LearnerConfig | None = None
    adaptation: AdaptationConfig = AdaptationConfig()
    promotion: PromotionConfig = PromotionConfig()
    canary: CanaryConfig | None = None
    review: ReviewConfig | None = None
    metrics_window: int = 1_000
    error_block: int = 1
    error_classes: tuple[str, ...] = ()
    quality_block: int = 1
    cooldown: int = 1_000
    max_skew: str = "7d"
    max_categories: int = 1_000
    max_classes: int = 64
    max_versions: int = 16
    segments: tuple[str, ...] = ()
    max_segments: int = 50
    segment_window: int = 200
    seed: int = 1

    def schema(self, name: str) -> MonitorSchema:
        """The part of the configuration that decoding needs."""
        features: dict[str, FeatureSchema] = dict(self.features)
        return MonitorSchema(name=name, task=self.task, features=features, timezone=self.timezone)


class EmbeddedConfig(_Base, frozen=True, kw_only=True):
    """The log in the data folder."""

    partitions: int = 1
    segment_bytes: int = 64 * 1024 * 1024


class KafkaConfig(_Base, frozen=True, kw_only=True):
    """The broker; the topic names hold for the embedded log too."""

    bootstrap_servers: str = "localhost:9092"
    topic: str = "anchorwatch.events"
    group: str = "anchorwatch"
    drift_topic: str = "anchorwatch.drifts"
    predictions_topic: str = "anchorwatch.predictions"
    review_topic: str = "anchorwatch.review"
    dead_letter_topic: str = "anchorwatch.dead_letters"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: str | None = None
    ssl_cafile: str | None = None


class TransportConfig(_Base, frozen=True, kw_only=True):
    """Where events come from."""

    kind: Literal["embedded", "kafka"] = "embedded"
    embedded: EmbeddedConfig = EmbeddedConfig()
    kafka: KafkaConfig = KafkaConfig()


class CommitConfig(_Base, frozen=True, kw_only=True):
    """A commit comes after `interval` or `events`, whichever is first."""

    interval: str = "1s"
    events: int = 20_000


class DeadLettersConfig(_Base, frozen=True, kw_only=True):
    """What is kept of refused events: `raw` keeps their bytes, else only paths and types."""

    raw: bool = False
    max_bytes: int = 1_000_000


class WebhookConfig(_Base, frozen=True, kw_only=True):
    """One receiver. `secret` is `whsec_` + base64; private addresses are refused unless `allow_private`."""

    url: str
    secret: str
    statuses: tuple[str, ...] = ("drift", "resolved")
    severities: tuple[Literal["page", "ticket", "note"], ...] = ("page", "ticket", "note")
    allow_private: bool = False
    timeout: str = "10s"
    max_pending: int = 10_000


class RegistryConfig(_Base, frozen=True, kw_only=True):
    """How much of each monitor's model versions is kept: versions with their snapshot, and bytes of snapshots. The
    newest version of every learner, and its parent, is kept beyond both."""

    max_versions: int = 100
    max_bytes: int = 1024 * 1024 * 1024


class HttpConfig(_Base, frozen=True, kw_only=True):
    """Where HTTP listens."""

    host: str = "127.0.0.1"
    port: int = 8000
    max_body_bytes: int = 16 * 1024 * 1024


class PipelineConfig(_Base, frozen=True, kw_only=True):
    """The name of this pipeline in ids and in the store; `hash_key` keys the hashes of sensitive categories."""

    name: str = "anchorwatch"
    hash_key: str = ""


class Config(_Base, frozen=True, kw_only=True):
    """The whole tree."""

    pipeline: PipelineConfig = PipelineConfig()
    transport: TransportConfig = TransportConfig()
    commit: CommitConfig = CommitConfig()
    dead_letters: DeadLettersConfig = DeadLettersConfig()
    registry: RegistryConfig = RegistryConfig()
    http: HttpConfig = HttpConfig()
    webhooks: dict[str, WebhookConfig] = {}
    monitors: dict[str, MonitorConfig] = {}

    def schemas(self) -> dict[str, MonitorSchema]:
        """Schemas of all monitors, by name."""
        return {name: monitor.schema(name) for name, monitor in self.monitors.items()}


def load(path: Path | None, environment: Mapping[str, str] | None = None) -> Config:
    """Read `path` (none: all defaults), let `ANCHORWATCH__SECTION__KEY` variables override it, check it."""
    tree: dict[str, Any] = {}
    if path is not None:
        try:
            tree = tomllib.loads(path.read_text("utf-8"))
        except FileNotFoundError as error:
            raise ConfigurationError(f"{path}: no such file; `anchorwatch init SAMPLE -o {path}` writes one") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{path}: not TOML: {error}") from error
    override(tree, os.environ if environment is None else environment)
    return parse(tree)


def parse(tree: Mapping[str, Any]) -> Config:
    """Turn a plain tree into a checked `Config`.

    Raises
    ------
    ConfigurationError
        names the key, its value, and the nearest known key where one was misspelt.
    """
    reject_unknown(Config, tree)
    try:
        config = msgspec.convert(tree, Config)
    except msgspec.ValidationError as error:
        raise ConfigurationError(explain(Config, tree)) from error
    check(config)
    return config
