"""A run of faults against a whole desk: clients write, the plan strikes, each round is waited out, all is compared.

Recovery is measured where one fault struck a desk that was normal; barrages, many faults at once, show that nothing is
lost (`tests.faults.rounds`). The plan and every number in it follow from the seed; what the machine makes of it does
not.
"""

from __future__ import annotations

import contextlib
import random
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from results.pipeline.verify.hot_rows import HotRows
from tests.faults.desk import SQLITE, Desk, DeskFailed
from tests.faults.harm import EMPTIED, KINDS, LAST, Harm
from tests.faults.judge import TABLE_OF, Judgement
from tests.faults.load import ROWS_PER_STEP
from tests.faults.normal import Normal, now_us
from tests.faults.rounds import Barrage, rounds

START_SECONDS_MAX = 120.0
NORMAL_SECONDS_MAX = 600.0  # a desk that takes longer than this counts as one that did not come back
PAUSE_SECONDS = (0.1, 0.6)  # between two faults
DRAIN_SECONDS_MAX = 300.0
JUDGE_SECONDS_MAX = 600.0
LONG_SECONDS = 1_800.0
API_PER_FOREIGN = 10  # rows through the API for each write of another program

Say = Callable[[str], None]


class Asked(msgspec.Struct, frozen=True):
    """What a run is to do: strike with these kinds for `seconds`, and until `kills` processes were killed, while
    clients write about `rows_per_second`. `has_disk`: the data folder is a disk of its own."""

    seed: int
    seconds: float
    kinds: Sequence[str]
    kills: int = 0
    rows_per_second: float = 300.0
    has_disk: bool = False
    database: str = SQLITE

    @property
    def words(self) -> str:
        """The arguments of the same run."""
        words = f"--seconds {self.seconds:.0f} --seed {self.seed} --rows-per-second {self.rows_per_second:.0f}"
        return f"{words} --kills {self.kills} --database {self.database} --kinds {shlex.join(self.kinds)}"

    @property
    def is_long(self) -> bool:
        """Whether it is one that must reach the goals of a long run."""
        return self.seconds >= LONG_SECONDS


class Struck(msgspec.Struct, frozen=True):
    """One fault of the plan as it went: when it began (seconds of the run), how many single faults it was, seconds
    from its end until the desk was normal, and what was not normal to the last (empty: all is). Of a fault in a barrage
    (they are numbered from 1) both are those of the whole barrage."""

    at: float
    kind: str
    target: str
    group: str
    count: int
    seconds: float
    lacking: list[str]
    barrage: int = 0


class Outcome(msgspec.Struct, frozen=True):
    """A whole run. `differences` and `violations` are what verify_stores and check_invariants found."""

    asked: Asked
    seconds: float
    faults: list[Struck]
    judgement: Judgement
    differences: list[str]
    violations: list[str]

    @property
    def ok(self) -> bool:
        """Whether nothing was lost or doubled, all stores agree, no rule is broken and the desk always came back."""
        wrong = self.judgement.findings or self.judgement.unanswered or self.differences or self.violations
        return not wrong and not any(each.lacking for each in self.faults)

    def count(self, *groups: str) -> int:
        """How many single faults there were of some groups."""
        return sum(each.count for each in self.faults if each.group in groups)


def run(folder: Path, asked: Asked, say: Say) -> Outcome:
    """Start a desk in the folder, strike it and compare. Raises DeskFailed, DeskEnded for one that did not outlive
    a fault."""
    lists = folder / "lists"
    lists.mkdir(parents=True)
    began = time.monotonic()
    with Desk(folder, asked.has_disk, asked.database) as desk:
        normal = Normal(desk.redis, desk.address, desk.require_running)
        _, lacking = normal.wait(now_us(), START_SECONDS_MAX)
        if lacking:
            raise DeskFailed(f"the desk is not normal before the first fault: {'; '.join(lacking)}")
        say("the desk is up")
        with clients(desk, lists, asked):
            struck = strike(desk, normal, asked, say)
        say("the clients have ended; the stores catch up")
        wait_until_swept(desk)
        normal.wait(now_us(), NORMAL_SECONDS_MAX)
        struck += [
            one(desk, normal, Harm(kind, KINDS[kind].targets[0]), began, random.Random(asked.seed), say)
            for kind in LAST
            if kind in asked.kinds
        ]
        desk.stop()
        desk.manage("sync_results", "--json", timeout=DRAIN_SECONDS_MAX)
        say("comparing the lists with the stores")
        return Outcome(
            asked=asked,
            seconds=round(time.monotonic() - began, 1),
            faults=struck,
            judgement=judgement_of(desk, lists, asked.kinds),
            differences=differences_of(desk),
            violations=violations_of(desk),
        )


def strike(desk: Desk, normal: Normal, asked: Asked, say: Say) -> list[Struck]:
    """Follow the plan."""
    chance = random.Random(asked.seed)
    struck: list[Struck] = []
    began, barrages = time.monotonic(), 0
    for each in rounds(chance, asked.kinds, desk.servers):
        is_over = time.monotonic() - began > asked.seconds
        if is_over and sum(one.group == "kill" for one in struck) >= asked.kills:
            break
        fault_chance = random.Random(chance.random())
        if isinstance(each, Harm):
            struck.append(one(desk, normal, each, began, fault_chance, say))
        else:
            barrages += 1
            struck += many(desk, normal, each, began, fault_chance, say, barrages)
        desk.rest(chance.uniform(*PAUSE_SECONDS))
    return struck


def one(desk: Desk, normal: Normal, harm: Harm, began: float, chance: random.Random, say: Say) -> Struck:
    """One fault, and the wait for what follows."""
    if harm.group == "kill":
        desk.wait_until_steady(harm.target)
    struck = strike_one(desk, harm, began, chance)
    seconds, lacking = normal.wait(now_us(), NORMAL_SECONDS_MAX)
    say(f"{struck.at:6.1f} s  {told(struck):<28} {how(seconds, lacking)}")
    return msgspec.structs.replace(struck, seconds=round(seconds, 2), lacking=lacking)


def many(
    desk: Desk, normal: Normal, barrage: Barrage, began: float, chance: random.Random, say: Say, number: int
) -> list[Struck]:
    """A barrage, and the wait for what follows."""
    at = time.monotonic() - began

    def lane(harms: Sequence[Harm], lane_chance: random.Random) -> list[Struck]:
        found = []
        for harm in harms:
            desk.rest(lane_chance.uniform(*PAUSE_SECONDS))
            found.append(strike_one(desk, harm, began, lane_chance))
        return found

    with ThreadPoolExecutor(len(barrage.lanes)) as threads:
        lanes = [threads.submit(lane, harms, random.Random(chance.random())) for harms in barrage.lanes]
        try:
            struck = sorted((each for found in lanes for each in found.result()), key=lambda each: each.at)
        except BaseException:
            desk.end_rests()
            raise
    seconds, lacking = normal.wait(now_us(), NORMAL_SECONDS_MAX)
    say(f"{at:6.1f} s  barrage {number} of {sum(each.count for each in struck):<16} {how(seconds, lacking)}")
    say(f"          {', '.join(map(told, struck))}")
    return [
        msgspec.structs.replace(each, seconds=round(seconds, 2), lacking=lacking, barrage=number) for each in struck
    ]


def strike_one(desk: Desk, harm: Harm, began: float, chance: random.Random) -> Struck:
    """One fault, which is not waited out."""
    at = time.monotonic() - began
    return Struck(round(at, 1), harm.kind, harm.target, harm.group, harm.do(desk, chance), 0.0, [])


def told(struck: Struck) -> str:
    """A fault in words: how many single ones it was, if not one."""
    return f"{struck.kind} {struck.target}" + (f" ({struck.count})" if struck.count != 1 else "")


def how(seconds: float, lacking: Sequence[str]) -> str:
    """A recovery in words."""
    return f"normal after {seconds:4.1f} s" if not lacking else f"NOT NORMAL: {'; '.join(lacking)}"


@contextlib.contextmanager
def clients(desk: Desk, lists: Path, asked: Asked) -> Iterator[None]:
    """The clients at work; at the end each finishes what it has begun."""
    running: list[subprocess.Popen[bytes]] = []
    try:
        paces = {"api": asked.rows_per_second / ROWS_PER_STEP, "foreign": asked.rows_per_second / API_PER_FOREIGN}
        for role, pace in paces.items():
            words = [role, str(lists / f"{role}.jsonl"), str(asked.seed), str(pace)]
            command = [sys.executable, "-m", "tests.faults.load", *words]
            running.append(desk.beside(command, role))
        yield
        for client in running:
            client.send_signal(signal.SIGTERM)
        for client in running:
            client.wait(NORMAL_SECONDS_MAX)
    finally:
        for client in running:
            client.kill()
            client.wait()


def wait_until_swept(desk: Desk) -> None:
    """Wait until the running desk has taken in every record of another program; the judge names what is not."""
    deadline = time.monotonic() + DRAIN_SECONDS_MAX
    while time.monotonic() < deadline:
        hot = HotRows(desk.redis)
        hot.read(TABLE_OF.values())
        if not hot.foreign:
            return
        desk.require_running()
        time.sleep(1.0)


def judgement_of(desk: Desk, lists: Path, kinds: Sequence[str]) -> Judgement:
    """The clients' lists against the stores."""
    words = ["emptied"] if EMPTIED in kinds else []
    done = desk.python("-m", "tests.faults.judge", str(lists), *words, timeout=JUDGE_SECONDS_MAX)
    if done.returncode:
        raise RuntimeError(f"the judge failed: {done.stderr[-2000:]}")
    return msgspec.json.decode(done.stdout, type=Judgement)


def differences_of(desk: Desk) -> list[str]:
    """What verify_stores says, if not that all agree."""
    done = desk.manage("verify_stores", "--json", timeout=JUDGE_SECONDS_MAX)
    if done.returncode == 0:
        return []
    if not done.stdout:
        return [done.stderr[-1000:]]
    told = msgspec.json.decode(done.stdout)
    found = [f"{each['kind']} {each['table']} {each['key']}: {each['sentence']}" for each in told["differences"]]
    return [*found, *told["unreadable"], *told["away"].values(), f"{told['verdict']}, behind: {told['behind']}"]


def violations_of(desk: Desk) -> list[str]:
    """What check_invariants says."""
    done = desk.manage("check_invariants", "--json", timeout=JUDGE_SECONDS_MAX)
    if done.returncode == 0:
        return []
    if not done.stdout:
        return [done.stderr[-1000:]]
    return [
        f"{each['rule']} {each['key']}: {each['sentence']}" for each in msgspec.json.decode(done.stdout)["violations"]
    ]


def kinds_of(faults: Sequence[Struck]) -> dict[str, int]:
    """Single faults by kind and target."""
    counted: Counter[str] = Counter()
    for each in faults:
        counted[each.kind] += each.count
    return dict(counted)
