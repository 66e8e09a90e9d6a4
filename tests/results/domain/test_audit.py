"""Whatever is done to a trail shows, and where."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.domain.audit import BEGINNING, Broken, Entry, broken, chained, numbered

DEEDS = [
    Entry(0, 1_731_000_000_000_000 + number, "mara", "proposed", f"review_case {number}", None, '{"state":"proposed"}')
    for number in range(4)
]
TRAIL = list(numbered(DEEDS, 0, BEGINNING))
HEAD = (4, TRAIL[-1][1])


def test_a_trail_as_it_was_written_is_whole() -> None:
    assert [entry.number for entry, _ in TRAIL] == [1, 2, 3, 4]
    assert broken(TRAIL, HEAD) is None
    assert broken([], (0, BEGINNING)) is None


def test_a_trail_goes_on_where_it_ended() -> None:
    first = list(numbered(DEEDS[:2], 0, BEGINNING))
    assert first + list(numbered(DEEDS[2:], 2, first[-1][1])) == TRAIL


@pytest.mark.parametrize("field", ["at_us", "who", "action", "subject", "before", "after"])
def test_a_changed_figure_is_found_where_it_is(field: str) -> None:
    for place, (entry, chain) in enumerate(TRAIL):
        other = msgspec.structs.replace(entry, **{field: 7 if field == "at_us" else "other"})
        trail = [*TRAIL[:place], (other, chain), *TRAIL[place + 1 :]]
        assert broken(trail, HEAD) == Broken(
            place + 1, f"entry {place + 1} is not what was written, or one before it was changed"
        )


def test_an_entry_with_a_chain_made_anew_breaks_the_next() -> None:
    forged = msgspec.structs.replace(TRAIL[1][0], who="carl")
    trail = [TRAIL[0], (forged, chained(TRAIL[0][1], forged)), *TRAIL[2:]]
    found = broken(trail, HEAD)
    assert found is not None
    assert found.number == 3


@pytest.mark.parametrize("place", range(3))
def test_a_removed_entry_is_named(place: int) -> None:
    trail = [*TRAIL[:place], *TRAIL[place + 1 :]]
    assert broken(trail, HEAD) == Broken(place + 1, f"entry {place + 1} is missing, {place + 2} follows")


def test_a_tail_that_was_cut_off_is_missed() -> None:
    assert broken(TRAIL[:3], HEAD) == Broken(4, "the trail ends with entry 3, 4 were written")
    assert broken([], HEAD) == Broken(1, "the trail ends with entry 0, 4 were written")


@given(st.lists(st.text(), min_size=2, max_size=2, unique=True), st.text())
def test_no_two_entries_have_the_same_chain(whos: list[str], rest: str) -> None:
    first = Entry(1, 0, whos[0], rest, "", None, None)
    assert chained(BEGINNING, first) != chained(BEGINNING, msgspec.structs.replace(first, who=whos[1]))
    assert chained(BEGINNING, first) != chained(BEGINNING, msgspec.structs.replace(first, before=r"\N"))
