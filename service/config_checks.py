"""What the types of a configuration cannot refuse: durations, ranges, names that point nowhere.

`service.config` calls `check` last, once every value has its type; each refusal names the key, its value and what to
write instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from learners.baselines import Majority
from learners.policies import PARAMETERS, build_policy
from service.config_errors import ConfigurationError, at_least, share
from service.durations import parse_duration_ms
from service.pairing import check_pairings
from service.review_checks import check_review
from stream.refusal import RefusalError
from stream.validate import Rules

if TYPE_CHECKING:
    from service.config import AdaptationConfig, Config, FeatureConfig, MonitorConfig
    from service.detector_config import DetectorsConfig

__all__ = ["check"]

_JOINT = ("energy", "sliced_energy", "mmd", "domain_classifier")
# Members that every committee may have, and words that stand for one of its learners.
_RESERVED = frozenset({"majority", "mean", "no_change", "probe", "champion", "challenger", "producer"})


def check(config: Config) -> None:
    """Refuse a value out of its range, a duration that is none, a name that points nowhere.

    Raises
    ------
    ConfigurationError
        names the key, its value and what to write instead.
    """
    _positive("commit.events", config.commit.events)
    _duration("commit.interval", config.commit.interval)
    _positive("registry.max_versions", config.registry.max_versions)
    _positive("registry.max_bytes", config.registry.max_bytes)
    _positive("transport.embedded.partitions", config.transport.embedded.partitions)
    for name, webhook in config.webhooks.items():
        _duration(f"webhooks.{name}.timeout", webhook.timeout)
        if not all(part.startswith("whsec_") for part in webhook.secret.split()) or not webhook.secret.strip():
            raise ConfigurationError(f"webhooks.{name}.secret: write whsec_ and the key in base64 (value not shown)")
        if not webhook.url.startswith(("http://", "https://")):
            raise ConfigurationError(f"webhooks.{name}.url = {webhook.url!r}: write an http:// or https:// address")
    if not 0 <= config.http.port <= 65_535:
        raise ConfigurationError(f"http.port = {config.http.port}: must be from 0 (any free port) to 65535")
    for name, monitor in config.monitors.items():
        _check_monitor(f"monitors.{name}", monitor)
        check_pairings(f"monitors.{name}", monitor)
        _check_detectors(f"monitors.{name}.detectors", monitor.detectors)
        _check_features(f"monitors.{name}.features", monitor.features)
        try:
            rules = Rules(monitor.schema(name), config.pipeline.hash_key.encode())
            if isinstance(monitor.labels.on_timeout, dict):
                rules.outcome(monitor.labels.on_timeout["value"], "labels.on_timeout")
        except (ValueError, RefusalError) as error:
            raise ConfigurationError(f"monitors.{name}.{error}") from error


def _check_monitor(key: str, monitor: MonitorConfig) -> None:
    for part in ("age", "timeout"):
        value = getattr(monitor.labels, part)
        if value is not None:
            _duration(f"{key}.labels.{part}", value)
    _duration(f"{key}.max_skew", monitor.max_skew)
    for part, least in (("n", 5), ("window", 1), ("step", 1), ("gap", 0)):
        at_least(f"{key}.reference.{part}", getattr(monitor.reference, part), least)
    for part in ("correction_window", "max_pending", "max_early", "age_n"):
        _positive(f"{key}.labels.{part}", getattr(monitor.labels, part))
    for part in ("metrics_window", "error_block", "quality_block", "cooldown"):
        _positive(f"{key}.{part}", getattr(monitor, part))
    for part in ("max_categories", "max_classes", "max_versions", "max_segments", "segment_window"):
        _positive(f"{key}.{part}", getattr(monitor, part))
    _check_segments(f"{key}.segments", monitor.segments)
    check_review(f"{key}.review", monitor)
    if isinstance(monitor.labels.on_timeout, dict) and set(monitor.labels.on_timeout) != {"value"}:
        raise ConfigurationError(
            f'{key}.labels.on_timeout = {monitor.labels.on_timeout!r}: write "unlabelled" or {{value = "…"}}'
        )
    if monitor.labels.correction_window > monitor.labels.max_pending:
        raise ConfigurationError(
            f"{key}.labels.correction_window = {monitor.labels.correction_window} must not exceed "
            f"max_pending = {monitor.labels.max_pending}"
        )
    if monitor.champion is not None and monitor.champion not in monitor.learners:
        known = ", ".join(monitor.learners) or "none is configured"
        raise ConfigurationError(f"{key}.champion = {monitor.champion!r} names no learner; learners: {known}")
    _check_canary(f"{key}.canary", monitor)
    _check_promotion(f"{key}.promotion", monitor)
    _check_adaptation(f"{key}.adaptation", monitor.adaptation)
    for name in monitor.learners:
        if name in _RESERVED or ":" in name:
            raise ConfigurationError(
                f"{key}.learners.{name}: names with a colon and {', '.join(sorted(_RESERVED))} are taken; call the "
                "learner something else"
            )


def _check_segments(key: str, segments: tuple[str, ...]) -> None:
    for at, segment in enumerate(segments):
        if not all(segment.split("+")) or "=" in segment:
            raise ConfigurationError(f"{key} = {segment!r}: write slices of the events, as 'a' or 'a+b'")
        if segment in segments[:at]:
            raise ConfigurationError(f"{key} = {segment!r} stands there twice: write it once")


def _check_canary(key: str, monitor: MonitorConfig) -> None:
    canary = monitor.canary
    if canary is None:
        return
    members = [*(["probe"] if monitor.learners or monitor.probe else []), *monitor.learners]
    if canary.model not in members:
        known = ", ".join(members) or "none, since no learner is configured"
        raise ConfigurationError(f"{key}.model = {canary.model!r} names no member; there are: {known}")
    if monitor.task == "classification" and canary.apart is not None:
        raise ConfigurationError(f"{key}.apart = {canary.apart}: is for regression; classes differ or are the same")
    if monitor.task == "regression" and (canary.apart is None or not canary.apart > 0):
        raise ConfigurationError(f"{key}.apart = {canary.apart}: write a number above 0, in the label's unit")


_LOSSES = {"classification": ("zero_one", "brier"), "regression": ("absolute", "squared")}


def _check_promotion(key: str, monitor: MonitorConfig) -> None:
    rule, fitting = monitor.promotion, _LOSSES[monitor.task]
    share(f"{key}.alpha", rule.alpha)
    if not 0 <= rule.min_lead < 1:
        raise ConfigurationError(f"{key}.min_lead = {rule.min_lead}: must be from 0 to below 1, as losses are")
    at_least(f"{key}.min_n", rule.min_n, 1)
    at_least(f"{key}.cooldown", rule.cooldown, 0)
    if rule.loss is not None and rule.loss not in fitting:
        raise ConfigurationError(f"{key}.loss = {rule.loss!r}: for {monitor.task} write {' or '.join(fitting)}")


def _check_adaptation(key: str, adaptation: AdaptationConfig) -> None:
    """Refuse what the policy does not use, and what it would refuse."""
    default = type(adaptation)()
    users = {part: [n for n, used in PARAMETERS.items() if part in used] for part in adaptation.parameters()}
    users["watch"] = [name for name in PARAMETERS if name not in {"none", "periodic"}]
    for part, policies in users.items():
        value = getattr(adaptation, part)
        if adaptation.policy not in policies and value != getattr(default, part):
            raise ConfigurationError(
                f'{key}.{part} = {value!r}: policy = "{adaptation.policy}" does not use it; leave it out, or write a '
                f"policy that does: {', '.join(policies)}"
            )
    try:
        build_policy(adaptation.policy, lambda _: Majority(), Majority, adaptation.parameters())
    except ValueError as error:
        raise ConfigurationError(f"{key}.{error}") from error


def _check_features(key: str, features: dict[str, FeatureConfig]) -> None:
    for name, feature in features.items():
        if feature.min_effect is not None and not 0 <= feature.min_effect < 1:
            raise ConfigurationError(f"{key}.{name}.min_effect = {feature.min_effect}: must be from 0 to below 1")
        if feature.sensitive and feature.type == "numeric" and not feature.bins:
            raise ConfigurationError(f"{key}.{name}.bins: a sensitive number needs ascending bin edges")
        if feature.min is not None and feature.max is not None and feature.min > feature.max:
            raise ConfigurationError(f"{key}.{name}.min = {feature.min} is above max = {feature.max}")


def _check_detectors(key: str, detectors: DetectorsConfig) -> None:
    _check_shared(key, detectors)
    share(f"{key}.adwin.delta", detectors.adwin.delta)
    at_least(f"{key}.adwin.clock", detectors.adwin.clock, 1)
    part = detectors.page_hinkley
    at_least(f"{key}.page_hinkley.min_instances", part.min_instances, 1)
    if not part.threshold > 0:
        raise ConfigurationError(f"{key}.page_hinkley.threshold = {part.threshold}: must be above 0")
    for name in ("ks", "cvm", *_JOINT):
        share(f"{key}.{name}.alpha", getattr(detectors, name).alpha)
        every = "refit_every" if name == "domain_classifier" else "test_every"
        at_least(f"{key}.{name}.{every}", getattr(getattr(detectors, name), every), 1)
    _check_made(key, detectors)
    for name in ("window", "reference"):
        value = getattr(detectors.energy, name)
        at_least(f"{key}.energy.{name}", 1 if value is None else value, 1)


def _check_made(key: str, detectors: DetectorsConfig) -> None:
    """Make a bank of each section that differs from the defaults: the banks know what they refuse.

    Only such sections, since making banks loads the compiler.
    """
    for name in detectors.__struct_fields__:
        section = getattr(detectors, name)
        if section == type(section)():
            continue
        from service.try_detectors import try_section

        try:
            try_section(name, section)
        except ValueError as error:
            raise ConfigurationError(f"{key}.{name}: {error}") from error


def _check_shared(key: str, detectors: DetectorsConfig) -> None:
    ks, cvm = detectors.ks, detectors.cvm
    for part in ("alpha", "min_effect", "test_every"):
        if ks.enabled and cvm.enabled and getattr(ks, part) != getattr(cvm, part):
            raise ConfigurationError(
                f"{key}.cvm.{part} = {getattr(cvm, part)} differs from {key}.ks.{part} = {getattr(ks, part)}: "
                "one structure runs both tests; write the same, or turn one of them off (enabled = false)"
            )


def _duration(key: str, value: str) -> None:
    try:
        duration = parse_duration_ms(value)
    except ValueError as error:
        raise ConfigurationError(f"{key} = {value!r}: {error}") from error
    if duration <= 0:
        raise ConfigurationError(f"{key} = {value!r}: must be longer than nothing")


def _positive(key: str, value: int) -> None:
    at_least(key, value, 1)
