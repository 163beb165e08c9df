"""Metrics that belong to no single collector, as a prometheus-client custom collector."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collection_health.pipeline import Pipeline


class FleetMetrics(Collector):
    """Coverage, dependency probes, alert feedback and break-glass."""

    def __init__(self, pipeline: "Pipeline") -> None:
        self._pipeline = pipeline

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand: the families are fixed, their samples are not."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The families of one scrape."""
        yield self._coverage()
        yield self._probes()
        yield self._feedback()
        yield self._break_glass()

    def _coverage(self) -> Metric:
        pipeline = self._pipeline
        now = pipeline.clock()
        registered = pipeline.inventory.registered
        deadlines = pipeline.exposition.deadlines
        fresh = {name for name, deadline in deadlines.items() if (deadline or now) >= now}
        family = GaugeMetricFamily(
            "collection_health_collectors",
            "Collectors: registered in the inventory, reporting in time, discovered beside it, "
            "silent (registered and not reporting).",
            labels=["state"],
        )
        discovered = sum(1 for name in pipeline.collectors if name not in registered)
        silent = sum(1 for name in registered if name not in fresh)
        family.add_metric(["registered"], len(registered))
        family.add_metric(["reporting"], len(fresh))
        family.add_metric(["discovered"], discovered)
        family.add_metric(["silent"], silent)
        return family

    def _probes(self) -> Metric:
        family = GaugeMetricFamily(
            "collection_dependency_probe_success", "1 while the dependency's probe succeeds.",
            labels=["dependency", "probe"],
        )  # fmt: skip
        results = self._pipeline.fleet.dependency_probes
        for dependency, declared in self._pipeline.inventory.dependencies.items():
            names = {probe.name or probe.type for probe in declared.probes}
            for name, probe in results.get(dependency, {}).items():
                if name in names:
                    family.add_metric([dependency, name], float(probe.success))
        return family

    def _feedback(self) -> Metric:
        family = CounterMetricFamily(
            "collection_alert_feedback", "People's verdicts on alerts.",
            labels=["alertname", "verdict"],
        )  # fmt: skip
        for key, count in self._pipeline.fleet.feedback.items():
            alertname, _, verdict = key.partition(" ")
            family.add_metric([alertname, verdict], count)
        return family

    def _break_glass(self) -> Metric:
        family = GaugeMetricFamily(
            "collection_health_break_glass_active",
            "1 while a person stopped (or forced) all automatic recovery.",
            labels=["mode"],
        )
        now = self._pipeline.clock()
        for mode in ("stop", "force"):
            state = self._pipeline.fleet.break_glass.get(mode)
            active = state is not None and (state.until is None or state.until > now)
            family.add_metric([mode], float(active))
        return family
