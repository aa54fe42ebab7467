from collections.abc import Iterable
from typing import Literal

from ._pool import Pool, SyncPool

def metrics(
    pools: Iterable[Pool | SyncPool] | None = None,
    *,
    format: Literal["prometheus", "openmetrics"] = "prometheus",
    names: Literal["seed", "standard", "both"] = "both",
) -> str: ...
