"""What /metrics says, parsed by Prometheus' own client."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from api.http.metrics.families import PREFIX


@dataclass(frozen=True, slots=True)
class Scrape:
    families: dict[str, Metric]

    @classmethod
    def of(cls, text: str) -> Scrape:
        return cls({family.name: family for family in text_string_to_metric_families(text)})

    def __call__(self, sample: str, **labels: str) -> float:
        """The sum of the samples that have these labels; a name without the prefix."""
        found = [
            each.value
            for family in self.families.values()
            for each in family.samples
            if each.name == PREFIX + sample and labels.items() <= each.labels.items()
        ]
        return sum(found)

    def by(self, sample: str, label: str) -> dict[str, float]:
        """Values that are not 0, by a label's value."""
        samples = [each for family in self.families.values() for each in family.samples]
        named = [each for each in samples if each.name == PREFIX + sample and each.value]
        return {each.labels[label]: each.value for each in named}
