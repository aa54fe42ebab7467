from collections.abc import Iterable, Iterator
from typing import Literal

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ._pool import Pool, SyncPool

class PoolCollector(Collector):
    def __init__(
        self,
        pools: Iterable[Pool | SyncPool] | None = None,
        *,
        names: Literal["seed", "standard", "both"] = "both",
    ) -> None: ...
    def collect(self) -> Iterator[Metric]: ...

__all__ = ["PoolCollector"]
