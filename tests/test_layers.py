"""Imports point one way: `results/domain` is the ground floor, then `trading/domain`, and so on up.

A layer's files import themselves and the layers named for it. The upper floors (services to commands) import anything
below them, except that `trading` knows nothing of `results` but its domain.
"""

import ast
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from paperdesk.environment import BASE_DIR

DOMAINS = ("results.domain", "trading.domain")
# The models are the definition of the durable tables: the stores derive their schema from them.
MODELS = (
    "paperdesk.mirror",
    "paperdesk.models",
    "paperdesk.columns",
    "paperdesk.tables",
    "trading.models",
    "results.models",
)

LAYERS: dict[str, tuple[str, ...]] = {
    "results.domain": (),
    "trading.domain": ("results.domain",),
    "trading.stores": DOMAINS,
    "trading.market": DOMAINS,
    "trading.engine": (*DOMAINS, "trading.stores", "trading.market"),
    "results.stores": (*DOMAINS, "trading.stores", *MODELS),
    "results.pipeline": (*DOMAINS, "trading.stores", "results.stores", *MODELS),
}
# What holds no domain in memory: with these blocked, the domains must still import.
BLOCKED = "django redis celery channels duckdb chdb pyarrow numpy orjson clickhouse_connect ccxt environ structlog"


def files_of(package: str) -> list[Path]:
    return sorted((BASE_DIR / package.replace(".", "/")).rglob("*.py"))


def lies_in(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def imported(source: str) -> Iterator[str]:
    """The modules that a text imports; of `from a import b`, a.b if that is a module of ours, else a."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, f"line {node.lineno}: imports are absolute"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                path = BASE_DIR / inner.replace(".", "/")
                yield inner if path.is_dir() or path.with_suffix(".py").exists() else node.module


def breaches(layer: str, source: str) -> list[str]:
    """The modules of ours that a text in `layer` imports and must not."""
    ours = (name for name in imported(source) if lies_in(name, ("trading", "results", "paperdesk")))
    return [name for name in ours if not lies_in(name, (layer, *LAYERS[layer]))]


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_what_lies_below_it(layer: str) -> None:
    files = files_of(layer)
    assert files, f"{layer} has no files: the list of layers is stale"
    found = [
        f"{file.relative_to(BASE_DIR)} imports {name}; {layer} may import {', '.join(LAYERS[layer]) or 'nothing'}"
        for file in files
        for name in breaches(layer, file.read_text())
    ]
    assert not found, "\n".join(found)


def test_of_results_trading_imports_nothing_but_the_domain() -> None:
    found = [
        f"{file.relative_to(BASE_DIR)} imports {name}"
        for file in files_of("trading")
        for name in imported(file.read_text())
        if lies_in(name, ("results",)) and not lies_in(name, ("results.domain",))
    ]
    assert not found, "\n".join(found)


def test_domains_import_the_standard_library_and_msgspec_only() -> None:
    allowed = {*sys.stdlib_module_names, "msgspec", "trading", "results"}
    found = [
        f"{file.relative_to(BASE_DIR)} imports {name}"
        for domain in DOMAINS
        for file in files_of(domain)
        for name in imported(file.read_text())
        if name.split(".")[0] not in allowed
    ]
    assert not found, "\n".join(found)


def test_domains_import_in_a_fresh_process_without_django_and_redis() -> None:
    code = f"""
        import importlib, pkgutil, sys
        class Blocked:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in {BLOCKED.split()!r}:
                    raise ImportError(f"{{name}} is out of bounds for a domain")
        sys.meta_path.insert(0, Blocked())
        for domain in {DOMAINS!r}:
            for module in pkgutil.walk_packages(importlib.import_module(domain).__path__, domain + "."):
                importlib.import_module(module.name)
                print(module.name)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    run = subprocess.run(command, cwd=BASE_DIR, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert len(run.stdout.splitlines()) > len(DOMAINS)


def test_a_breach_is_seen_in_each_way_to_write_it() -> None:
    assert breaches("results.domain", "import trading.domain.units") == ["trading.domain.units"]
    assert breaches("results.domain", "from trading import domain") == ["trading.domain"]
    assert breaches("trading.domain", "def late():\n    from trading.stores import keys") == ["trading.stores.keys"]
    assert breaches("trading.domain", "from results.domain.units import round12\nimport json") == []
