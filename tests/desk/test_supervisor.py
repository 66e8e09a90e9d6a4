"""Real child processes: started, restarted, stopped in reverse, and never left behind."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from paperdesk.embedded import supervisor as module
from paperdesk.embedded.desk_file import Desk, running_desk, write_desk
from paperdesk.embedded.programs import Program
from paperdesk.embedded.supervisor import ProgramFailed, Stopped, Supervisor
from paperdesk.environment import BASE_DIR
from tests.faults.disk import no_longer_files

SLEEPER = "import time; time.sleep(600)"
SECONDS_MAX = 10.0


def program(name: str, code: str = SLEEPER, **options: object) -> Program:
    """A Python program of one source text."""
    return Program(name, [sys.executable, "-u", "-c", textwrap.dedent(code)], **options)  # type: ignore[arg-type]


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds; fail after SECONDS_MAX."""
    deadline = time.monotonic() + SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.fixture
def output() -> io.StringIO:
    """What the desk prints."""
    return io.StringIO()


@pytest.fixture
def desk(output: io.StringIO) -> Iterator[Supervisor]:
    """A supervisor whose programs all end with the test."""
    supervisor = Supervisor(output)
    yield supervisor
    supervisor.stop()


def test_stop_ends_programs_at_once_and_then_servers_the_last_started_first(desk: Supervisor, tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    code = """
        import signal, sys, time
        def end(number, frame):
            time.sleep({seconds})
            with open({ended!r}, "a") as file: file.write({name!r})
            sys.exit(0)
        signal.signal(signal.SIGTERM, end)
        open({started!r}, "w").close()
        time.sleep(600)
    """
    for name in "abcde":
        started, serves = tmp_path / name, name in "ab"
        text = code.format(ended=str(ended), name=name, started=str(started), seconds=0 if serves else 1)
        desk.launch(program(name, text, ready=started.exists, serves=serves))
        desk.wait_until_ready()
    pids = list(desk.pids().values())
    began = time.monotonic()
    desk.stop()
    assert time.monotonic() - began < 2.5  # each of the three takes a second
    assert (set(ended.read_text()[:3]), ended.read_text()[3:]) == (set("cde"), "ba")
    assert len(pids) == 5
    assert all(is_gone(pid) for pid in pids)


def test_a_program_that_ignores_the_request_is_killed(
    desk: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STOP_SECONDS_MAX", 0.3)
    started = tmp_path / "started"
    code = f"""
        import signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        open({str(started)!r}, "w").close()
        time.sleep(600)
    """
    desk.launch(program("deaf", code, ready=started.exists))
    desk.wait_until_ready()
    pid = desk.pids()["deaf"]
    began = time.monotonic()
    desk.stop()
    assert is_gone(pid)
    assert time.monotonic() - began < 2.0


def test_a_grandchild_ends_with_its_program(desk: Supervisor, tmp_path: Path) -> None:
    note = tmp_path / "grandchild"
    code = f"""
        import pathlib, subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        pathlib.Path({str(note)!r}).write_text(str(child.pid))
        time.sleep(600)
    """
    desk.launch(program("parent", code, ready=lambda: note.exists() and note.read_text() != ""))
    desk.wait_until_ready()
    desk.stop()
    eventually(lambda: is_gone(int(note.read_text())))


def test_a_program_that_dies_is_restarted_and_said_so(desk: Supervisor, output: io.StringIO) -> None:
    desk.launch(program("engine"))
    first = desk.pids()["engine"]
    os.kill(first, signal.SIGKILL)

    def stop_after_the_restart() -> None:
        eventually(lambda: desk.pids()["engine"] != first)
        desk.request_stop()

    watcher = threading.Thread(target=stop_after_the_restart)
    watcher.start()
    desk.run()
    watcher.join()
    assert not is_gone(desk.pids()["engine"])
    assert "engine ended with status -9" in output.getvalue()


def test_a_full_disk_does_not_end_the_desk_and_its_file_follows_later(
    desk: Supervisor, output: io.StringIO, tmp_path: Path
) -> None:
    started = psutil.Process().create_time()
    desk.on_change = lambda: write_desk(tmp_path, Desk(os.getpid(), started, "http://127.0.0.1:1", pids=desk.pids()))
    desk.launch(program("engine"))
    before = desk.pids()
    told: list[Desk | None] = []

    def have_room_after_a_while() -> None:
        with contextlib.suppress(AssertionError):
            eventually(lambda: "could not write where its programs are" in output.getvalue())
            told.append(running_desk(tmp_path))
            room.close()
            eventually(lambda: running_desk(tmp_path) != told[0])
            told.append(running_desk(tmp_path))
        desk.request_stop()

    with contextlib.ExitStack() as room:
        room.enter_context(no_longer_files(os.getpid()))
        os.kill(before["engine"], signal.SIGKILL)
        watcher = threading.Thread(target=have_room_after_a_while)
        watcher.start()
        desk.run()
        watcher.join()
    assert [each.pids for each in told if each] == [before, desk.pids()]
    assert before != desk.pids()
    assert output.getvalue().count("could not write where its programs are") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["desk.json"]


def test_lines_that_the_disk_has_no_room_for_are_left_out() -> None:
    full = open("/dev/full", "w")  # noqa: SIM115 - to close it is refused, too
    try:
        Supervisor(full).say("engine", "a line")
    finally:
        with contextlib.suppress(OSError):
            full.close()


def test_the_first_restart_is_at_once_and_the_wait_before_the_next_ones_doubles(desk: Supervisor) -> None:
    desk.launch(program("engine", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"))
    child = desk._children["engine"]
    eventually(lambda: child.status() is not None)
    waits = []
    for _ in range(8):
        desk._after_end("engine", child)
        waits.append(round(desk._restart_at.pop("engine") - time.monotonic()))
    assert waits == [0, 1, 2, 4, 8, 16, 30, 30]
    child.started = time.monotonic() - module.STEADY_SECONDS - 1
    desk._after_end("engine", child)
    assert desk._restart_at["engine"] <= time.monotonic(), "one that lived for a while starts at once"


def test_a_program_that_fails_at_once_ends_the_desk_with_its_last_line(desk: Supervisor) -> None:
    desk.launch(program("engine", "import sys; sys.exit('no such file: tape.gz')"))
    with pytest.raises(ProgramFailed, match=r"engine ended with status 1 after .*: no such file: tape\.gz"):
        desk.run()


def test_a_program_that_is_done_is_not_restarted(desk: Supervisor, output: io.StringIO) -> None:
    desk.launch(program("replay", "print('the tape ends')", may_end=True))
    pid = desk.pids()["replay"]
    threading.Timer(1.0, desk.request_stop).start()
    desk.run()
    assert desk.pids()["replay"] == pid
    assert "replay is done" in output.getvalue()


def test_a_program_that_ends_before_it_is_ready_is_named(desk: Supervisor) -> None:
    desk.launch(program("redis", "print('bad directory'); raise SystemExit(3)", ready=lambda: False))
    with pytest.raises(ProgramFailed, match="redis ended with status 3: bad directory"):
        desk.wait_until_ready()


def test_a_program_that_dies_while_another_is_awaited_ends_the_start(desk: Supervisor) -> None:
    desk.launch(
        program("web", ready=lambda: False), program("engine", "import sys; sys.exit('Error: no such file: tape.gz')")
    )
    with pytest.raises(ProgramFailed, match=r"engine ended with status 1: no such file: tape\.gz"):
        desk.wait_until_ready("web")
    desk.stop()
    desk.launch(program("engine", "import sys; sys.exit('no such file: tape.gz')"))
    with pytest.raises(ProgramFailed, match="engine ended with status 1"):
        desk.run_to_end(program("schema"))


def test_quiet_lines_are_not_shown_but_still_say_why_a_program_ended(desk: Supervisor, output: io.StringIO) -> None:
    code = "print('WARNING advice'); print('serving'); raise SystemExit('advice: port in use')"
    desk.launch(program("redis", code, ready=lambda: False, quiet=("advice",)))
    with pytest.raises(ProgramFailed, match="redis ended with status 1: advice: port in use"):
        desk.wait_until_ready()
    assert "serving" in output.getvalue()
    assert "advice" not in output.getvalue()


def test_a_stop_during_the_start_stops_the_start(desk: Supervisor) -> None:
    desk.launch(program("redis", ready=lambda: False))
    desk.request_stop()
    with pytest.raises(Stopped):
        desk.wait_until_ready()


def test_a_failed_step_of_the_start_names_its_last_line(desk: Supervisor) -> None:
    desk.run_to_end(program("schema", "print('2 statements')"))
    with pytest.raises(ProgramFailed, match="schema ended with status 1: column gone"):
        desk.run_to_end(program("schema", "import sys; sys.exit('column gone')"))
    assert desk.pids() == {}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a child to its parent's death")
def test_children_die_when_the_desk_is_killed_without_warning(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = f"""
        import pathlib, sys, time
        from paperdesk.embedded.programs import Program
        from paperdesk.embedded.supervisor import Supervisor
        desk = Supervisor(sys.stdout)
        desk.launch(Program("engine", [sys.executable, "-c", {SLEEPER!r}]))
        pathlib.Path({str(note)!r}).write_text(str(desk.pids()["engine"]))
        desk.run()
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], cwd=BASE_DIR)
    try:
        eventually(lambda: note.exists() and note.read_text() != "")
        child = psutil.Process(int(note.read_text()))
        eventually(lambda: child.cmdline()[1:] == ["-c", SLEEPER])  # the wrapper has become the program
    finally:
        parent.kill()
        parent.wait()
    eventually(lambda: is_gone(child.pid))


def test_what_is_to_be_done_before_each_start_is_told_and_a_failure_of_it_stops_nothing(
    desk: Supervisor, output: io.StringIO
) -> None:
    outcomes = iter([["two bytes removed"]])

    def before() -> list[str]:
        for told in outcomes:
            return told
        raise OSError("the disk is full")

    desk.launch(program("first", before=before))
    assert "two bytes removed" in output.getvalue()
    desk.launch(program("second", before=before))
    assert "what is to be done before its start failed: the disk is full" in output.getvalue()
    assert not is_gone(desk.pids()["second"])


def test_a_running_program_is_tended_and_what_that_says_is_shown(desk: Supervisor, output: io.StringIO) -> None:
    told = iter([["a hole"], [], ["another hole"]])
    desk.launch(program("redis", tend=lambda: next(told, [])))
    eventually(lambda: "another hole" in output.getvalue())
    assert output.getvalue().count("hole") == 2
