"""Families of samples that have the same first labels: whose they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from api.observability.histogram import Histogram

PREFIX = "mlx_chat_"


class Families:
    """Makes metric families, their names with the server's own prefix."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._names, self._values = tuple(labels), tuple(labels.values())

    def gauge(self, name: str, text: str, value: float) -> GaugeMetricFamily:
        family = GaugeMetricFamily(PREFIX + name, text, labels=self._names)
        family.add_metric(self._values, value)
        return family

    def counter(self, name: str, text: str, value: float) -> CounterMetricFamily:
        return self.counters(name, text, (), [((), value)])

    def counters(
        self, name: str, text: str, labels: Iterable[str], counts: Iterable[tuple[tuple[str, ...], float]]
    ) -> CounterMetricFamily:
        """``counts``: with the values of ``labels``. The samples' names end in ``_total``."""
        family = CounterMetricFamily(PREFIX + name, text, labels=(*self._names, *labels))
        for values, count in counts:
            family.add_metric((*self._values, *values), count)
        return family

    def histogram(
        self, name: str, text: str, values: Histogram, bounds: Iterable[float]
    ) -> HistogramMetricFamily:
        """``bounds``: those of its own that are told."""
        family = HistogramMetricFamily(PREFIX + name, text, labels=self._names)
        buckets = [(str(bound), float(count)) for bound, count in values.cumulated(bounds)]
        family.add_metric(self._values, [*buckets, ("+Inf", float(values.count))], values.total_seconds)
        return family
