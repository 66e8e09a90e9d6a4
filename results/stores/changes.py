"""What a store lacks of the schema: a plan of additions, and sentences for what is refused because it could lose rows.

A column that a store has and the models do not (a removed or renamed field) and a changed type are refused; a new
table, a new column (null in the rows of before) and a column that may now be null are additions.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping

import msgspec

from results.domain.canonical import Column
from results.stores.failures import DestructiveChange
from results.stores.schema import Table


class Kind(enum.Enum):
    """What a change adds; its value is how it is counted. A view goes along with its table."""

    TABLE = "{count} table{s} made"
    COLUMN = "{count} column{s} added or changed"
    VIEW = "{count} view{s} made"


class Change(msgspec.Struct, frozen=True):
    """One addition: what a person reads, the statement that does it, and what it adds."""

    summary: str
    statement: str
    kind: Kind = Kind.TABLE


class Plan(msgspec.Struct, frozen=True):
    """The additions in order, and why the models' other changes are refused."""

    changes: tuple[Change, ...] = ()
    refusals: tuple[str, ...] = ()

    @property
    def lines(self) -> list[str]:
        """The plan as a person reads it."""
        return [change.summary for change in self.changes] + [f"refused: {sentence}" for sentence in self.refusals]

    @property
    def counted(self) -> str:
        """The additions in a few words, "17 tables made"; "" when there are none. Views count only by themselves."""
        names = {kind: {change.summary for change in self.changes if change.kind is kind} for kind in Kind}
        if names[Kind.TABLE] or names[Kind.COLUMN]:
            names[Kind.VIEW] = set()
        counts = ((kind, len(found)) for kind, found in names.items() if found)
        return ", ".join(kind.value.format(count=count, s="" if count == 1 else "s") for kind, count in counts)

    def check(self) -> None:
        """Raises DestructiveChange when anything is refused."""
        if self.refusals:
            raise DestructiveChange("; ".join(self.refusals))


class StoredColumn(msgspec.Struct, frozen=True):
    """A column as the store describes it, in the store's own words."""

    type: str
    nullable: bool


class Dialect(msgspec.Struct, frozen=True):
    """How one store says it: a column's type, statements for a new log or view, a new column, one that may be null."""

    store: str
    type_of: Callable[[Column], str]
    create_log: Callable[[Table], Iterable[str]]
    create_view: Callable[[Table], str]
    add_column: Callable[[Table, Column], Iterable[str]]
    allow_null: Callable[[Table, Column], Iterable[str]]


def plan_table(
    dialect: Dialect, table: Table, stored: Mapping[str, StoredColumn] | None, view_columns: Iterable[str]
) -> Plan:
    """What the log and the view of one table need. `stored` is None when there is no log yet."""
    if stored is None:
        summary = f"create {table.log_name}"
        log = [_change(dialect, Kind.TABLE, summary, statement) for statement in dialect.create_log(table)]
        return Plan((*log, _view_change(dialect, table)))
    refusals = tuple(_refusals(dialect, table, stored))
    changes = list(_column_changes(dialect, table, stored))
    wanted = [column.name for column in table.log_columns]
    if changes or list(view_columns) != wanted:
        changes.append(_view_change(dialect, table))
    return Plan(tuple(changes), refusals)


def joined(plans: Iterable[Plan]) -> Plan:
    """Several plans as one."""
    made = list(plans)
    return Plan(
        tuple(change for plan in made for change in plan.changes),
        tuple(sentence for plan in made for sentence in plan.refusals),
    )


def _change(dialect: Dialect, kind: Kind, summary: str, statement: str) -> Change:
    return Change(f"{dialect.store}: {summary}", statement, kind)


def _view_change(dialect: Dialect, table: Table) -> Change:
    return _change(dialect, Kind.VIEW, f"create view {table.name}", dialect.create_view(table))


def _column_changes(dialect: Dialect, table: Table, stored: Mapping[str, StoredColumn]) -> Iterable[Change]:
    for column in table.log_columns:
        existing = stored.get(column.name)
        if existing is None:
            for statement in dialect.add_column(table, column):
                yield _change(dialect, Kind.COLUMN, f"add column {table.log_name}.{column.name}", statement)
        elif column.nullable and not existing.nullable and existing.type == dialect.type_of(column):
            for statement in dialect.allow_null(table, column):
                yield _change(dialect, Kind.COLUMN, f"let {table.log_name}.{column.name} be null", statement)


def _refusals(dialect: Dialect, table: Table, stored: Mapping[str, StoredColumn]) -> Iterable[str]:
    wanted = {column.name: column for column in table.log_columns}
    for name, existing in stored.items():
        where = f"{dialect.store}: {table.log_name}.{name}"
        if name not in wanted:
            yield f"{where} is no longer in the models; give the field back, or export the column and drop it by hand"
        elif existing.type != dialect.type_of(wanted[name]):
            yield (
                f"{where} is {existing.type} and the models want {dialect.type_of(wanted[name])}; "
                "add a column of another name instead"
            )
