"""
A result that is longer than memory: ten million rows in less than 50 MB, interpreter and package included.

By its name it is run once, by ctest in the release build, and not with the rest: a sanitizer's memory says nothing, and
on further interpreters it is the same core.
"""

import subprocess
import sys

ROWS = 10_000_000
STREAM = """
import asyncio, sys, weirpool

async def main(url, rows):
    sql = "select n, 'text ' || n as t from generate_series(1, $1::int) as n"
    async with weirpool.create_pool(url, max_size=1) as pool, pool.session() as session:
        seen = total = 0
        async for row in session.stream(sql, rows, prefetch=1000, timeout=None):
            seen += 1
            total += row["n"]
    assert (seen, total) == (rows, rows * (rows + 1) // 2)

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
# not ru_maxrss: that of a child begins with its parent's
with open("/proc/self/status") as numbers:
    (peak,) = (line.split()[1] for line in numbers if line.startswith("VmHWM:"))
print(int(peak) << 10)
"""


def test_ten_million_rows(pg_url):
    command = [sys.executable, "-c", STREAM, pg_url, str(ROWS)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 50 << 20
