"""Prometheus collectors. What the database knows is counted when it is asked for; nothing is kept twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from triaged import __version__
from triaged.records import DeliveryState, StudyState, Tier
from triaged.store import Store

# Time to notification, in seconds: from the first slice to the committed outcome. The peers wait 60 to 900 s.
BUCKETS_S = (5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


class StoreCollector(Collector):
    """Counts over the store at scrape time. No label ever holds an identity or a UID."""

    def __init__(self, store: Store, children: Callable[[], Mapping[str, bool]], free_mb: Callable[[], float]) -> None:
        self._store = store
        self._children = children
        self._free_mb = free_mb

    def collect(self) -> Iterator[Metric]:
        yield from self._studies()
        yield from self._deliveries()
        yield self._time_to_notification()
        up = GaugeMetricFamily("triaged_child_up", "1 while this child process is ready", labels=["child"])
        for name, ready in self._children().items():
            up.add_metric([name], float(ready))
        yield up
        yield GaugeMetricFamily("triaged_storage_free_megabytes", "Free space of the storage folder", self._free_mb())
        info = GaugeMetricFamily("triaged_build_info", "Always 1; the version is the label", labels=["version"])
        info.add_metric([__version__], 1.0)
        yield info

    def _studies(self) -> Iterator[Metric]:
        counts = self._store.studies.counts_by_state()
        states = GaugeMetricFamily("triaged_studies", "Studies in the database by state", labels=["state"])
        for state in StudyState:
            states.add_metric([state], counts.get(state, 0))
        yield states
        reasons = GaugeMetricFamily("triaged_studies_not_analysed", "Studies not analysed by reason", labels=["reason"])
        for reason, count in self._store.studies.counts_by_reason().items():
            reasons.add_metric([reason], count)
        yield reasons
        yield GaugeMetricFamily(
            "triaged_queue_depth", "Studies that are ready and wait for a worker", self._store.queue.depth()
        )
        tiers = GaugeMetricFamily("triaged_unread", "Studies on the reading list by tier", labels=["tier"])
        unread = self._store.reading.counts_by_tier()
        for tier in Tier:
            tiers.add_metric([tier.name.lower()], unread.get(tier, 0))
        yield tiers
        kinds = CounterMetricFamily("triaged_events", "Events since the database was made", labels=["kind"])
        for kind, count in self._store.events.counts_by_kind().items():
            kinds.add_metric([kind], count)
        yield kinds

    def _deliveries(self) -> Iterator[Metric]:
        counts = self._store.deliveries.counts_by_state()
        family = GaugeMetricFamily("triaged_deliveries", "Result objects by delivery state", labels=["state"])
        for state in DeliveryState:
            family.add_metric([state], counts.get(state, 0))
        yield family

    def _time_to_notification(self) -> Metric:
        within, number, seconds = self._store.studies.delays_to_outcome(BUCKETS_S)
        buckets = [(str(edge), float(count)) for edge, count in zip(BUCKETS_S, within, strict=True)]
        family = HistogramMetricFamily(
            "triaged_time_to_notification_seconds",
            "First slice to first committed outcome, since the database was made",
        )
        family.add_metric([], [*buckets, ("+Inf", float(number))], sum_value=seconds)
        return family


def registry_of(
    store: Store, children: Callable[[], Mapping[str, bool]], free_mb: Callable[[], float]
) -> CollectorRegistry:
    """A registry of this daemon alone; the process-wide default one is not used, so that tests can have many."""
    registry = CollectorRegistry()
    registry.register(StoreCollector(store, children, free_mb))
    return registry
