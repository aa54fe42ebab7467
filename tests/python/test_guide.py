"""What docs/guide.md says of options is so."""

import re
from pathlib import Path

import weirpool

GUIDE = (Path(__file__).parents[2] / "docs/guide.md").read_text()


def test_defaults():
    stated = {name: float(value) for name, value in re.findall(r"`(\w+)`\s\(([\d.]+)\ss\b", GUIDE)}
    with weirpool.create_pool_sync("sqlite://", environment=False) as pool:
        assert stated == {name: pool.options[name] for name in stated}
    assert {"leak_threshold", "pod_refresh", "validate_after"} <= stated.keys()
