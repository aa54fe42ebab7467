"""The environment's variables, and which of the seed's are still to come."""

import pathlib

import pytest
import weirpool
from weirpool import _core, _options

# What a variable says, the option that has it then, and its value.
SUPPORTED = {
    "DATABASE_URL": ("sqlite://?max_size=7", "max_size", 7),
    "POD_COUNT": ("3", "pod_count", 3),
    "DB_MIN_POOL_SIZE": ("3", "min_size", 3),
    "DB_MAX_POOL_SIZE": ("30", "max_size", 30),
    "DB_POOL_SIZE": ("31", "max_size", 31),
    "DB_MAX_OVERFLOW": ("10", "max_overflow", 10),
    "DB_CONNECT_TIMEOUT": ("2.5", "connect_timeout", 2.5),
    "DB_COMMAND_TIMEOUT": ("12", "command_timeout", 12.0),
    "DB_CHECKOUT_TIMEOUT": ("0.25", "checkout_timeout", 0.25),
    "DB_POOL_TIMEOUT": ("none", "checkout_timeout", None),
    "DB_POOL_RECYCLE": ("1800", "max_lifetime", 1800.0),
    "DB_CIRCUIT_FAILURE_THRESHOLD": ("3", "circuit_failure_threshold", 3),
    "DB_CIRCUIT_RECOVERY_TIMEOUT": ("120", "circuit_recovery_timeout", 120.0),
    "DB_HEALTH_CHECK_INTERVAL": ("30", "health_check_interval", 30.0),
    "DB_ENABLE_MONITORING": ("false", "monitoring", False),
    "DB_METRICS_INTERVAL": ("30", "monitoring_interval", 30.0),
    "DB_MAX_CHECKOUT_TIME": ("2.0", "alert_checkout_time", 2.0),
    "DB_MAX_QUERY_TIME": ("2.5", "alert_query_time", 2.5),
    "DB_CONNECTION_FAILURE_THRESHOLD": ("0.05", "alert_checkout_failure_rate", 0.05),
    "DB_ECHO": ("true", "echo", True),
}
# As the seed document has them, its section on production, and its configuration of connections.
SEED = """
DATABASE_URL=postgresql+asyncpg://user:pass@host/db POD_COUNT=3 DB_MIN_POOL_SIZE=5 DB_MAX_POOL_SIZE=20
DB_MAX_OVERFLOW=10 DB_CONNECT_TIMEOUT=10 DB_COMMAND_TIMEOUT=30 DB_CHECKOUT_TIMEOUT=30 DB_ENABLE_MONITORING=true
DB_HEALTH_CHECK_INTERVAL=60 DB_CIRCUIT_FAILURE_THRESHOLD=5 DB_CIRCUIT_RECOVERY_TIMEOUT=60
DB_METRICS_INTERVAL=30 DB_MAX_CHECKOUT_TIME=2.0 DB_MAX_QUERY_TIME=10.0 DB_CONNECTION_FAILURE_THRESHOLD=0.05
DB_POOL_SIZE=20 DB_POOL_TIMEOUT=30 DB_POOL_RECYCLE=3600 DB_ECHO=false
"""


# What the seed's classes of settings have when nobody says otherwise, by our names. Of two others, max_overflow=10 and
# metrics_interval=60, none is ours: a pool does not go beyond max_size unasked, and looks at itself each second.
DEFAULTS = {
    "min_size": 5,
    "max_size": 20,
    "max_lifetime": 3600,
    "pre_ping": True,
    "lifo": True,
    "connect_timeout": 10,
    "command_timeout": 30,
    "checkout_timeout": 30,
    "idle_timeout": 300,
    "circuit_failure_threshold": 5,
    "circuit_recovery_timeout": 60,
    "health_check_interval": 60,
    "health_check_query": "SELECT 1",
    "monitoring": True,
    "pod_count": None,
    "connections_per_pod": 10,
    "leak_threshold": 300,
    "alert_checkout_time": 5,
    "alert_query_time": 10,
    "alert_checkout_failure_rate": 0.1,
    "alert_query_failure_rate": 0.05,
    "alert_pool_usage": 0.8,
    "alert_leaks": 5,
    "alert_after": 3,
    "alert_cooldown": 15 * 60,
    "slow_query_threshold": 5,
    "slow_queries_kept": 100,
}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for variable in SUPPORTED:
        monkeypatch.delenv(variable, raising=False)


def options_blocking(*arguments, **options):
    with weirpool.create_pool_sync(*arguments, **options) as pool:
        return pool.options


def test_each_of_the_seed_is_supported():
    assert {pair.partition("=")[0] for pair in SEED.split()} == SUPPORTED.keys()
    names = ["url", *(row[0] for row in _options.rows(_core.option_table))]
    guide = (pathlib.Path(__file__).parents[2] / "docs/guide.md").read_text()
    assert {name for name in SUPPORTED if f"`{name}`" in guide} == SUPPORTED.keys()
    assert {name for option in names for name in _options.variables(option)} == SUPPORTED.keys()


def test_defaults_are_the_seeds():
    options = options_blocking("sqlite://")
    assert {name: options[name] for name in DEFAULTS} == DEFAULTS


def test_the_seeds_own_values_go_together(monkeypatch):
    for pair in SEED.split():
        name, _, value = pair.partition("=")
        monkeypatch.setenv(name, value)
    options = options_blocking("sqlite://")
    sizes = options["min_size"], options["max_size"], options["max_overflow"], options["max_lifetime"]
    assert sizes == (5, 20, 10, 3600.0)


@pytest.mark.parametrize("variable", SUPPORTED)
def test_a_variable_sets_its_option(variable, run, monkeypatch):
    text, option, value = SUPPORTED[variable]
    url = [] if variable == "DATABASE_URL" else ["sqlite://"]
    assert options_blocking("sqlite://")[option] != value
    monkeypatch.setenv(variable, text)
    assert options_blocking(*url)[option] == value

    async def main():
        async with weirpool.create_pool(*url) as pool:
            return pool.options

    assert run(main)[option] == value


def test_argument_beats_query_beats_variable_beats_default(monkeypatch):
    assert options_blocking("sqlite://")["max_size"] == 20
    monkeypatch.setenv("DB_POOL_SIZE", "31")
    assert options_blocking("sqlite://")["max_size"] == 31
    monkeypatch.setenv("DB_MAX_POOL_SIZE", "30")
    assert options_blocking("sqlite://")["max_size"] == 30
    assert options_blocking("sqlite://?max_size=20")["max_size"] == 20
    assert options_blocking("sqlite://?max_size=12", max_size=20)["max_size"] == 20
    assert options_blocking("sqlite://", environment=False)["max_size"] == 20
    monkeypatch.setenv("DATABASE_URL", "sqlite://?max_size=9")
    assert options_blocking()["max_size"] == 9
    assert options_blocking("sqlite://")["max_size"] == 30


def test_the_sizes_may_come_from_different_places(monkeypatch):
    monkeypatch.setenv("DB_MAX_POOL_SIZE", "30")
    assert options_blocking("sqlite://", min_size=25)["max_size"] == 30
    assert options_blocking("sqlite://?max_size=26", min_size=25)["max_size"] == 26
    with pytest.raises(weirpool.OptionError, match=r"min_size=31 is above max_size=30 \(DB_MAX_POOL_SIZE\)"):
        options_blocking("sqlite://", min_size=31)


def test_options_are_those_of_the_signature(run):
    async def main():
        pool = weirpool.create_pool("sqlite://", name="shop", idle_timeout=None, init=None)
        with pytest.raises(weirpool.InterfaceError):
            print(pool.options)
        async with pool:
            return pool.options

    options = run(main)
    assert list(options) == [row[0] for row in _options.rows(_core.option_table)]
    for name, _, _, initial, *_ in _options.rows(_core.option_table):
        assert options[name] == {"name": "shop", "idle_timeout": None}.get(name, initial)


@pytest.mark.parametrize(
    ("variable", "text", "words"),
    [
        ("DB_MAX_POOL_SIZE", "abc", "DB_MAX_POOL_SIZE in the environment: max_size=abc is no whole number"),
        ("POD_COUNT", "abc", "POD_COUNT in the environment: pod_count=abc is no whole number"),
        ("DB_POOL_TIMEOUT", "soon", "DB_POOL_TIMEOUT in the environment: checkout_timeout=soon is no number of"),
        ("DATABASE_URL", "", "there is no URL, and DATABASE_URL is not set in the environment: give one such as"),
        ("DATABASE_URL", "pg://u:sesame@h", "DATABASE_URL in the environment: unknown scheme pg://"),
    ],
)
def test_what_is_wrong_is_named(variable, text, words, run, monkeypatch):
    monkeypatch.setenv(variable, text)
    url = None if variable == "DATABASE_URL" else "sqlite://"

    async def main():
        await weirpool.create_pool(url)

    for open_pool in (lambda: weirpool.create_pool_sync(url), lambda: run(main)):
        with pytest.raises(weirpool.OptionError) as failure:
            open_pool()
        assert words in str(failure.value) and "sesame" not in str(failure.value)
