"""A first program: a pool on SQLite, a transaction, rows."""

import asyncio

import weirpool


async def main() -> None:
    async with weirpool.create_pool("sqlite://", min_size=1, max_size=4) as pool:
        await pool.execute("create table t (id integer primary key, name text)")
        async with pool.session() as session:  # a transaction: committed at its end, rolled back on an exception
            await session.execute("insert into t values ($1, $2)", 1, "weir")
            await session.execute("insert into t values ($1, $2)", 2, "pool")
        for row in await pool.fetch("select * from t order by id"):
            print(row["id"], row["name"])
        print(await pool.fetchval("select count(*) from t", timeout=0.5), "rows")


asyncio.run(main())
