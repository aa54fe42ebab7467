"""The numbers of pools as text, for Prometheus and whoever else reads its formats."""

from . import _core


def metrics(pools=None, *, format="prometheus", names="both"):
    """The metrics of pools as text, of all that are open in this process when none are given.

    Pools with the option metrics_shared stand for those of other processes with the same file, too: each name's
    numbers are those of all of them. Each series has its pool's name as label db_client_connection_pool_name; pools of
    one name are one, their numbers added up. ArgumentError for another format, or other names.

    pools: an iterable of open pools; None: all, also those of other threads and event loops.
    format: "prometheus", the text format 0.0.4, or "openmetrics", OpenMetrics 1.0, which has units, state sets and
        exemplars as well. An answer over HTTP says which, CONTENT_TYPE_PROMETHEUS or CONTENT_TYPE_OPENMETRICS.
    names: "standard", OpenTelemetry's names in Prometheus' form, and weir_… for what those do not know; "seed",
        the gauges db_active_connections and so on; or "both". The seed's means and rates are over the last
        minute, or since the metrics were asked for last where that is longer.
    """
    return _core.metrics_render(None if pools is None else tuple(pools), format, names)
