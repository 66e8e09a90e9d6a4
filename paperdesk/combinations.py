"""Rows of a large table narrowed by any of its filters, the latest first, without reading what does not match.

A table whose list has filters has one index of their combination: a text of all filtered columns of a row, then the
list's order. Of millions of rows there are some hundred different combinations. `newest_keys` hops along the index from
one to the next, takes those that match, and merges their rows: it reads as many rows as it returns, whichever filters
are set and however rare their values are together. A condition on one of two columns is no `OR`, for a combination
either matches or does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connections, models
from django.db.models import Case, F, Func, Model, OrderBy, Q, QuerySet, Value, When
from django.db.models.expressions import RawSQL
from django.db.models.indexes import IndexExpression
from django.utils.deconstruct import deconstructible

END = "\x1f"  # of each column's text in a combination
AFTER_END = chr(ord(END) + 1)
COMBINATIONS_MAX = 20_000  # of a table; hopping along so many takes a tenth of a second
NOTHING: dict[str, Any] = {"pk__in": ()}  # a condition that no row has
MERGED_AT_ONCE = 100  # combinations in one statement: SQLite takes 500, and the planner's time grows with them
FEW = 100  # so many are merged at once; before more of them the latest rows are looked at
LATEST_LOOKED_AT = 4_000
Statement = tuple[str, list[Any]]
NEWEST, OLDEST = "1 DESC NULLS LAST, 2 ASC", "1 ASC NULLS FIRST, 2 DESC"
MERGE = "{terms} ORDER BY {order} LIMIT {most}"
# SQLite merges the terms as it reads them; PostgreSQL sees only with its own eyes that a term is in order.
TERM = {"sqlite": "{term}", "postgresql": "({term} ORDER BY {order} LIMIT {most})"}
HOP = (
    "WITH RECURSIVE hop(combination) AS (SELECT * FROM ({first}) AS first_one UNION ALL "
    "SELECT ({next}) FROM hop WHERE hop.combination IS NOT NULL) "
    "SELECT combination FROM hop WHERE combination IS NOT NULL LIMIT {most}"
)


class _Part(Func):
    """One column's text and END. A column without a value counts as an empty text."""

    template = f"COALESCE(%(expressions)s, '') || '{END}'"
    arity = 1

    def as_sql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """The SQL; true and false are 1 and 0 in every database."""
        if self.get_source_expressions()[0].output_field.get_internal_type() == "BooleanField":
            context["template"] = f"CASE WHEN %(expressions)s THEN '1' ELSE '0' END || '{END}'"
        return super().as_sql(compiler, connection, **context)


@deconstructible(path="paperdesk.combinations.Combination")
class Combination(Func):
    """The texts of columns one after the other, compared byte by byte."""

    arg_joiner = " || "
    template = "(%(expressions)s)"
    output_field = models.TextField()

    def __init__(self, *columns: str, **extra: Any) -> None:
        self.columns = columns
        super().__init__(*map(_Part, columns), **extra)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """The SQL: in the database's own collation a separator counts for nothing."""
        return self.as_sql(compiler, connection, template='(%(expressions)s) COLLATE "C"', **context)


@deconstructible(path="paperdesk.combinations.Latest")
class Latest(OrderBy):
    """The latest first, in an order that the index of a combination has and no other index.

    PostgreSQL takes `NULLS LAST` for another order, also where nothing is null. Without it a plan may walk along the
    index of time for rows that it believes to be everywhere, and read millions when they all are old.
    """

    def __init__(self, column: str) -> None:
        super().__init__(F(column), descending=True, nulls_last=True)

    def as_sqlite(self, compiler: Any, connection: Any) -> Any:
        """The SQL; SQLite has no `NULLS` in an index, and goes by the equality."""
        plain = self.copy()
        plain.nulls_first = plain.nulls_last = None
        return OrderBy.as_sql(plain, compiler, connection)


IndexExpression.register_wrappers(OrderBy, models.functions.Collate, Latest)


def combination_index(*columns: str, latest: str, then: str, name: str) -> models.Index:
    """The index of a list's filters: `columns`, the one with the most values first, then the list's order."""
    return models.Index(Combination(*columns), Latest(latest), F(then), name=name)


def combination_of(model: type[Model]) -> Combination | None:
    """The combination that an index of the model begins with; None where no list of it has filters."""
    firsts = (index.expressions[0] for index in model._meta.indexes if index.expressions)
    return next((first for first in firsts if isinstance(first, Combination)), None)


@dataclass(frozen=True)
class Narrowing:
    """What filters ask of a row: `equal`, values that one of some columns has; `since`, the bounds of its time."""

    equal: Sequence[tuple[tuple[str, ...], Any]] = ()
    since: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def all_of(cls, each: Iterable[Narrowing]) -> Narrowing:
        """What all of them ask."""
        some = list(each)
        since = {name: value for one in some for name, value in one.since.items()}
        return cls(tuple(asked for one in some for asked in one.equal), since)

    def condition(self) -> Q:
        """The same as a condition for the database."""
        found = Q(**self.since)
        for columns, value in self.equal:
            found &= Q.create([(column, value) for column in columns], connector=Q.OR)
        return found


class NewestRows:
    """The keys of a table's rows, as the database has them, in the order of its list: the latest first, then a column.

    `rows` may be narrowed by what is not in the index of the combination only where that leaves few of them out.
    """

    def __init__(self, rows: QuerySet[Model], order: Sequence[str], *, oldest_first: bool = False) -> None:
        self._rows = rows.order_by()
        self._time, self._then = order[0].removeprefix("-"), order[1]
        self._oldest_first = oldest_first
        self._plain: Statement | None = None

    def keys(self, narrowing: Narrowing, most: int) -> list[Any]:
        """At most `most` keys of rows that match."""
        known = combination_of(self._rows.model)
        asked = {column for columns, _ in narrowing.equal for column in columns}
        if known is None or not asked or not asked <= {*known.columns}:
            return self._walked(self._rows.filter(narrowing.condition()), most)
        if NOTHING.items() <= narrowing.since.items():
            return []
        existing = self._existing(known, narrowing)
        if len(existing) > COMBINATIONS_MAX:
            return self._walked(self._rows.filter(narrowing.condition()), most)
        wanted = [each for each in existing if _matches(known.columns, each, narrowing)]
        if len(wanted) > FEW:
            found = self._among_the_latest(narrowing, most)
            if found is not None:
                return found
        return self._merged(known, wanted, narrowing, most)

    def _walked(self, rows: QuerySet[Model], most: int) -> list[Any]:
        return [key for (key,) in _fetched(self._in_order(rows).values_list("pk")[:most])]

    def _in_order(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """The rows along the index of time."""
        ordered = rows.order_by(f"-{self._time}", self._then)
        return ordered.reverse() if self._oldest_first else ordered

    def _among_the_latest(self, narrowing: Narrowing, most: int) -> list[Any] | None:
        """The keys if the first LATEST_LOOKED_AT rows have enough of them or there are no more rows, else None."""
        latest = self._in_order(self._rows.filter(**narrowing.since))
        matching = When(narrowing.condition(), then=Value(1))
        seen = _fetched(latest.values_list("pk", Case(matching, default=Value(0)))[:LATEST_LOOKED_AT])
        found = [key for key, matches in seen if matches]
        return found[:most] if len(found) >= most or len(seen) < LATEST_LOOKED_AT else None

    def _existing(self, known: Combination, narrowing: Narrowing) -> list[str]:
        """The combinations that rows have; those of one value if the first column is asked for."""
        rows = self._rows.annotate(combination=known).order_by("combination").values_list("combination", flat=True)
        begun = rows
        for columns, value in narrowing.equal:
            if columns == known.columns[:1]:
                begins = f"{_text(value)}{END}"
                rows = rows.filter(combination__lt=f"{begins[:-1]}{AFTER_END}")
                begun = rows.filter(combination__gte=begins)
        # one lower bound in each: of two, SQLite may begin at the first combination again and again
        first, following = _sql(begun[:1]), _sql(rows.filter(combination__gt=RawSQL("hop.combination", []))[:1])
        hop = HOP.format(first=first[0], next=following[0], most=COMBINATIONS_MAX + 1)
        with connections[rows.db].cursor() as cursor:
            cursor.execute(hop, [*first[1], *following[1]])
            return [combination for (combination,) in cursor.fetchall()]

    def _merged(self, known: Combination, wanted: Sequence[str], narrowing: Narrowing, most: int) -> list[Any]:
        """The keys of the rows of these combinations, each of which its index has in order."""
        rows = self._rows.alias(combination=known).filter(**narrowing.since)
        order, found = OLDEST if self._oldest_first else NEWEST, []
        term = TERM[connections[rows.db].vendor]
        for start in range(0, len(wanted), MERGED_AT_ONCE):
            terms = [self._term(rows, known, each, narrowing) for each in wanted[start : start + MERGED_AT_ONCE]]
            each_one = [term.format(term=sql, order=order, most=most) for sql, _ in terms]
            united = " UNION ALL ".join(each_one) if len(terms) > 1 else terms[0][0]
            statement = MERGE.format(terms=united, order=order, most=most)
            with connections[rows.db].cursor() as cursor:
                cursor.execute(statement, [value for _, values in terms for value in values])
                found += cursor.fetchall()
        if len(wanted) > MERGED_AT_ONCE:
            found.sort(key=lambda row: row[1], reverse=self._oldest_first)
            found.sort(key=lambda row: row[0], reverse=not self._oldest_first)
        return [key for *_, key in found[:most]]

    def _term(self, rows: QuerySet[Any], known: Combination, wanted: str, narrowing: Narrowing) -> Statement:
        """The rows of one combination; where it does not tell all, of those that match."""
        rows = rows.values_list(self._time, self._then, "pk")
        if not _is_plain(known.columns, wanted, narrowing):
            return _sql(rows.filter(narrowing.condition(), combination=wanted))
        if self._plain is None:
            self._plain = _sql(rows.filter(combination=END))
        sql, values = self._plain
        return sql, [wanted if value == END else value for value in values]


def _sql(rows: QuerySet[Any]) -> Statement:
    sql, values = rows.query.get_compiler(rows.db).as_sql()
    return sql, [*values]


def _fetched(rows: QuerySet[Any]) -> list[tuple[Any, ...]]:
    """The rows as the database gives them: to convert thousands of keys would take longer than to find them."""
    try:
        sql, values = _sql(rows)
    except EmptyResultSet:
        return []
    with connections[rows.db].cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall())


def _text(value: Any) -> str:
    """What a combination has of a value."""
    return "" if value is None else str(int(value)) if isinstance(value, bool) else str(value)


def _has(held: Mapping[str, Any], narrowing: Narrowing) -> bool:
    return all(any(held[column] == value for column in either) for either, value in narrowing.equal)


def _matches(columns: Sequence[str], combination: str, narrowing: Narrowing) -> bool:
    """Whether rows of the combination may match."""
    texts = combination.split(END)[:-1]
    if len(texts) != len(columns):
        return True  # a text with the separator in it
    wanted = Narrowing([(either, _text(value)) for either, value in narrowing.equal])
    return _has(dict(zip(columns, texts, strict=True)), wanted)


def _is_plain(columns: Sequence[str], combination: str, narrowing: Narrowing) -> bool:
    """Whether each row of a combination that matches does so itself: an empty text stands for none as well."""
    return combination.count(END) == len(columns) and all(_text(value) for _, value in narrowing.equal)
