"""What docs/guide.md says of options is so, and its examples run."""

import re
import textwrap
from pathlib import Path

import pytest
from support import LOOPS

import weirpool

PATH = Path(__file__).parents[2] / "docs/guide.md"
GUIDE = PATH.read_text()
EXAMPLES = [
    (section.partition("\n")[0], code)
    for section in GUIDE.split("\n## ")
    for code in re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
]


def test_defaults():
    stated = {name: float(value) for name, value in re.findall(r"`(\w+)`\s\(([\d.]+)\ss\b", GUIDE)}
    with weirpool.create_pool_sync("sqlite://", environment=False) as pool:
        assert stated == {name: pool.options[name] for name in stated}
    assert {"leak_threshold", "pod_refresh", "validate_after"} <= stated.keys()


@pytest.mark.parametrize(("section", "code"), EXAMPLES, ids=[section for section, _ in EXAMPLES])
def test_examples(pg_url, section, code):
    scope = {"url": pg_url}
    program = "import asyncio, tempfile, weirpool\nasync def example(pool):\n" + textwrap.indent(code, "    ")
    exec(compile(program, f"{PATH}, {section}", "exec"), scope)

    async def main():
        async with weirpool.create_pool(pg_url, slow_query_threshold=0.1) as pool:
            await pool.execute_script(
                "drop table if exists orders;"
                "create table orders (id bigint primary key, customer text, total numeric);"
            )
            if section != "Statements":
                await pool.execute("insert into orders values (1, 'Ada', 42), (2, 'Bob', 7), (3, 'Ada', 1)")
            await scope["example"](pool)

    LOOPS["asyncio"](main)
