"""Ways to write a step: ours, and those of a program that follows the documents to the letter.

    atomic  one script that compares and writes                        `trading.stores.step.StepRunner`
    plain   the documents' lists of plain commands, one after the other
    multi   the same commands in one MULTI, without a comparison: nobody is half done, and whoever comes last wins

The detector must find nothing after the first and something after the others.
Source: redis-schema "Access Patterns and Typical Operations".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from redis import Redis

from results.stores.schema import TABLES
from tests.faults.lives import Writer
from trading.stores.outbox import Outbox
from trading.stores.portfolio_store import PortfolioStore
from trading.stores.step import Step, StepRunner


class Command(msgspec.Struct, frozen=True):
    """One write command of a step."""

    name: str
    key: str
    arguments: list[Any]


class PlainCommands(StepRunner):
    """Writes a step command by command, and compares nothing."""

    def __init__(self, client: Redis) -> None:
        super().__init__(client)
        self._client = client

    def run(self, step: Step) -> list[str]:
        """Write it; the stream ids of its entries."""
        answers = [(each, self._client.execute_command(*_words(each))) for each in commands_of(step)]
        return [answer.decode() for each, answer in answers if each.name == "XADD"]


class MultiWithoutCheck(PlainCommands):
    """Writes a step in one MULTI, and compares nothing."""

    def run(self, step: Step) -> list[str]:
        """Write it; the stream ids of its entries."""
        pipeline = self._client.pipeline(transaction=True)
        commands = list(commands_of(step))
        for each in commands:
            pipeline.execute_command(*_words(each))
        answers = zip(commands, pipeline.execute(), strict=True)
        return [answer.decode() for each, answer in answers if each.name == "XADD"]


RUNNERS: dict[Writer, type[StepRunner]] = {
    Writer.ATOMIC: StepRunner,
    Writer.PLAIN: PlainCommands,
    Writer.MULTI: MultiWithoutCheck,
}


def store_of(client: Redis, prefix: str, writer: Writer) -> PortfolioStore:
    """The store of a portfolio that writes in this way."""
    store = PortfolioStore(client, prefix, Outbox(TABLES))
    store._runner = RUNNERS[writer](client)
    return store


def commands_of(step: Step) -> Iterator[Command]:
    """The writes of a step in the documents' order: a leg-out is pushed before the trade is set."""
    key_names, (whole, *packed) = step.wire()
    told = msgspec.msgpack.decode(whole)
    writes = told[len(told) - 3 * step.write_count :]  # key, command, count
    commands = []
    for index, name, count, each in zip(writes[::3], writes[1::3], writes[2::3], packed, strict=True):
        arguments = msgspec.msgpack.decode(b"\xdd" + count.to_bytes(4, "big") + each)
        commands.append(Command(name, key_names[index - 1], arguments))
    yield from sorted(commands, key=lambda command: command.name != "LPUSH")


def _words(command: Command) -> list[Any]:
    id_of_entry = ["*"] if command.name == "XADD" else []
    return [command.name, command.key, *id_of_entry, *command.arguments]
