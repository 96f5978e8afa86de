"""The part of the configuration that says which detectors run and how: one section a detector.

Every section has `enabled`; a detector that is off may still be named for a single feature or signal. Thresholds are
the textbook's.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from detectors.base import Direction

__all__ = [
    "AdwinConfig",
    "BinnedConfig",
    "ChiSquareConfig",
    "ContextConfig",
    "CusumConfig",
    "DdmConfig",
    "DetectorName",
    "DetectorsConfig",
    "DomainClassifierConfig",
    "EDetectorConfig",
    "EcddConfig",
    "EddmConfig",
    "EnergyConfig",
    "EwmaChartConfig",
    "GTestConfig",
    "HddmAConfig",
    "HddmWConfig",
    "JointConfig",
    "KswinConfig",
    "LevelConfig",
    "PageHinkleyConfig",
    "RankTestConfig",
    "RateConfig",
    "RddmConfig",
    "ShewhartConfig",
    "SprtConfig",
    "StepdConfig",
]

DetectorName = Literal[
    "adwin", "page_hinkley", "ks", "cvm", "anderson_darling", "wasserstein", "psi", "jensen_shannon", "chi_square",
    "g_test", "cusum", "ewma_chart", "shewhart", "sprt", "kswin", "ddm", "eddm", "rddm", "ecdd", "hddm_a", "hddm_w",
    "stepd", "e_detector", "rate", "energy", "sliced_energy", "mmd", "domain_classifier", "context",
]  # fmt: skip


class _Base(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class AdwinConfig(_Base, frozen=True, kw_only=True):
    """ADWIN on values scaled to [0, 1]; `delta` is its confidence, checked every `clock` values."""

    enabled: bool = True
    direction: Direction = "both"
    delta: float = 0.002
    clock: int = 32


class PageHinkleyConfig(_Base, frozen=True, kw_only=True):
    """`delta` and `threshold` count in units of the signal's reference spread. With the customary .005 and 50 a stable
    normal signal alarms every 3,000 values (Siegmund's approximation); with .25 and 25 every 2 million."""

    enabled: bool = True
    direction: Direction = "both"
    min_instances: int = 30
    delta: float = 0.25
    threshold: float = 25.0
    alpha: float = 0.9999


class RankTestConfig(_Base, frozen=True, kw_only=True):
    """KS or CvM of a window: the nominal level of one look, the least effect, and how often it is tested."""

    enabled: bool = True
    alpha: float = 1e-6
    min_effect: float = 0.1
    test_every: int = 1


class LevelConfig(_Base, frozen=True, kw_only=True):
    """Another test of a window against the reference, with the same settings; its test costs a scan of the window."""

    enabled: bool = False
    alpha: float = 1e-6
    min_effect: float = 0.1
    test_every: int = 10


class BinnedConfig(_Base, frozen=True, kw_only=True):
    """PSI or Jensen-Shannon over `bins` quantile bins of the reference."""

    enabled: bool = False
    alpha: float = 1e-6
    min_effect: float = 0.1
    test_every: int = 1
    bins: int = 10


class ChiSquareConfig(_Base, frozen=True, kw_only=True):
    """Chi-square of the categories in the window; the effect is Cramér's V."""

    enabled: bool = True
    alpha: float = 1e-6
    min_effect: float = 0.1
    test_every: int = 1


class GTestConfig(_Base, frozen=True, kw_only=True):
    """G of the categories in the window; the effect is Cramér's V."""

    enabled: bool = False
    alpha: float = 1e-6
    min_effect: float = 0.1
    test_every: int = 1


class CusumConfig(_Base, frozen=True, kw_only=True):
    """CUSUM of deviations from the running mean; `delta` and `threshold` as Page-Hinkley's."""

    enabled: bool = False
    direction: Direction = "both"
    min_instances: int = 30
    delta: float = 0.25
    threshold: float = 25.0


class EwmaChartConfig(_Base, frozen=True, kw_only=True):
    """The chart of an exponentially weighted mean with limits at `limit` of its standard deviations; level and spread
    are learned from `learn_n` values after each start."""

    enabled: bool = False
    direction: Direction = "both"
    weight: float = 0.1
    limit: float = 5.0
    learn_n: int = 500


class ShewhartConfig(_Base, frozen=True, kw_only=True):
    """The chart of single values: an alarm at one beyond `k` spreads, or at `run_n` in a row on one side."""

    enabled: bool = False
    direction: Direction = "both"
    k: float = 6.0
    run_n: int = 20
    learn_n: int = 500


class SprtConfig(_Base, frozen=True, kw_only=True):
    """Wald's test, restarted: the rate against `ratio` times it (errors), or the mean against one moved by `shift`
    spreads (numbers), with the error rates `alpha` and `beta` of one run."""

    enabled: bool = False
    direction: Direction = "up"
    alpha: float = 1e-6
    beta: float = 0.05
    ratio: float = 2.0
    shift: float = 0.5
    learn_n: int = 500


class KswinConfig(_Base, frozen=True, kw_only=True):
    """KS of the newest `stat_size` values of a window against the older ones."""

    enabled: bool = False
    direction: Direction = "both"
    alpha: float = 1e-6
    window_size: int = 300
    stat_size: int = 100


class DdmConfig(_Base, frozen=True, kw_only=True):
    """DDM: warning and drift so many standard deviations above the lowest error rate."""

    enabled: bool = False
    direction: Direction = "up"
    warm_start: int = 30
    warning_threshold: float = 2.0
    drift_threshold: float = 3.0


class EddmConfig(_Base, frozen=True, kw_only=True):
    """EDDM: warning and drift where the distance between errors falls under `alpha` and `beta` of its largest."""

    enabled: bool = False
    direction: Direction = "up"
    warm_start: int = 30
    alpha: float = 0.95
    beta: float = 0.9


class RddmConfig(_Base, frozen=True, kw_only=True):
    """RDDM: DDM that forgets long stable stretches."""

    enabled: bool = False
    direction: Direction = "up"
    warning_level: float = 1.773
    drift_level: float = 2.258
    min_num_instances: int = 129


class EcddConfig(_Base, frozen=True, kw_only=True):
    """ECDD: the chart of an exponentially weighted error rate, for a mean run of `average_run_length` between false
    alarms: one of the three that the paper gives constants for."""

    enabled: bool = False
    direction: Direction = "up"
    lambda_: float = 0.2
    average_run_length: int = 1_000


class HddmAConfig(_Base, frozen=True, kw_only=True):
    """HDDM-A: Hoeffding's bound on a difference of means."""

    enabled: bool = False
    direction: Direction = "up"
    drift_confidence: float = 0.001
    warning_confidence: float = 0.005


class HddmWConfig(_Base, frozen=True, kw_only=True):
    """HDDM-W: McDiarmid's bound on a difference of exponentially weighted means."""

    enabled: bool = False
    direction: Direction = "up"
    drift_confidence: float = 0.001
    warning_confidence: float = 0.005
    lambda_: float = 0.05


class StepdConfig(_Base, frozen=True, kw_only=True):
    """STEPD: the error rate of the newest `window` predictions against that of all before."""

    enabled: bool = False
    direction: Direction = "up"
    window_n: int = 30
    alpha_drift: float = 0.003
    alpha_warning: float = 0.05


class EDetectorConfig(_Base, frozen=True, kw_only=True):
    """An e-detector: at least `run_length` labels between false alarms on average, while the error rate given the past
    stays at or under the upper confidence limit (`confidence`) of the reference's."""

    enabled: bool = False
    direction: Direction = "up"
    run_length: float = 100_000.0
    confidence: float = 0.95


class RateConfig(_Base, frozen=True, kw_only=True):
    """The rate of missing values and unseen categories against the reference's: `arl0` values between two false alarms
    where they come independently."""

    enabled: bool = True
    direction: Direction = "up"
    arl0: float = 1_000_000.0


class EnergyConfig(_Base, frozen=True, kw_only=True):
    """Energy distance of all features jointly; `window` and `reference` shorten those of the monitor."""

    enabled: bool = True
    alpha: float = 1e-4
    min_effect: float = 0.1
    test_every: int = 1
    window: int | None = None
    reference: int | None = None


class JointConfig(_Base, frozen=True, kw_only=True):
    """Sliced energy distance or MMD of all features jointly."""

    enabled: bool = False
    alpha: float = 1e-4
    min_effect: float = 0.1
    test_every: int = 10


class DomainClassifierConfig(_Base, frozen=True, kw_only=True):
    """A classifier of reference against window, fitted every `refit_every` predictions; `min_effect` is AUC - 0.5."""

    enabled: bool = False
    alpha: float = 1e-4
    min_effect: float = 0.1
    refit_every: int = 250


class ContextConfig(_Base, frozen=True, kw_only=True):
    """A small decision tree over the newest `window` labelled predictions that may split on time, grown every
    `test_every` of them."""

    enabled: bool = False
    alpha: float = 1e-4
    window: int = 2_000
    test_every: int = 250


class DetectorsConfig(_Base, frozen=True, kw_only=True):
    """The detectors, each with its parameters."""

    adwin: AdwinConfig = AdwinConfig()
    page_hinkley: PageHinkleyConfig = PageHinkleyConfig()
    ks: RankTestConfig = RankTestConfig()
    cvm: RankTestConfig = RankTestConfig()
    anderson_darling: LevelConfig = LevelConfig()
    wasserstein: LevelConfig = LevelConfig()
    psi: BinnedConfig = BinnedConfig()
    jensen_shannon: BinnedConfig = BinnedConfig()
    chi_square: ChiSquareConfig = ChiSquareConfig()
    g_test: GTestConfig = GTestConfig()
    cusum: CusumConfig = CusumConfig()
    ewma_chart: EwmaChartConfig = EwmaChartConfig()
    shewhart: ShewhartConfig = ShewhartConfig()
    sprt: SprtConfig = SprtConfig()
    kswin: KswinConfig = KswinConfig()
    ddm: DdmConfig = DdmConfig()
    eddm: EddmConfig = EddmConfig()
    rddm: RddmConfig = RddmConfig()
    ecdd: EcddConfig = EcddConfig()
    hddm_a: HddmAConfig = HddmAConfig()
    hddm_w: HddmWConfig = HddmWConfig()
    stepd: StepdConfig = StepdConfig()
    e_detector: EDetectorConfig = EDetectorConfig()
    rate: RateConfig = RateConfig()
    energy: EnergyConfig = EnergyConfig()
    sliced_energy: JointConfig = JointConfig()
    mmd: JointConfig = JointConfig()
    domain_classifier: DomainClassifierConfig = DomainClassifierConfig()
    context: ContextConfig = ContextConfig()
