"""For prometheus_client: a collector that has the metrics of pools, as weirpool.metrics() does.

from prometheus_client import REGISTRY
from weirpool.prometheus import PoolCollector
REGISTRY.register(PoolCollector())
"""

try:
    from prometheus_client.openmetrics.parser import text_string_to_metric_families
except ImportError as error:
    raise ImportError(
        "weirpool.prometheus needs the package prometheus_client: pip install prometheus-client"
    ) from error

from ._metrics import metrics

__all__ = ["PoolCollector"]


class PoolCollector:
    """A collector for a registry of prometheus_client's, which asks it at each scrape.

    pools: an iterable of open pools; None: all that are open in the process at the time of the scrape.
    names: as weirpool.metrics() has them.
    """

    def __init__(self, pools=None, *, names="both"):
        self._pools = None if pools is None else tuple(pools)
        self._names = names

    def collect(self):
        """The families of metrics, as prometheus_client has them, exemplars included."""
        return text_string_to_metric_families(
            metrics(self._pools, format="openmetrics", names=self._names)
        )
