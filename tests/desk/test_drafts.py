"""A file is replaced whole or not at all."""

from pathlib import Path

import pytest

from paperdesk.drafts import OWNER_ONLY, replacing


def test_the_file_is_the_old_one_until_the_draft_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "passwords.txt"
    target.write_text("old")
    with replacing(target) as draft:
        draft.write_text("new")
        assert target.read_text() == "old"
    assert (target.read_text(), target.stat().st_mode & 0o777) == ("new", OWNER_ONLY)
    assert list(tmp_path.iterdir()) == [target]


def test_an_error_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    target = tmp_path / "desk.json"
    target.write_text("old")
    with pytest.raises(OSError, match="no space"), replacing(target) as draft:
        draft.write_text("half")
        raise OSError("no space left on device")
    assert [(file, file.read_text()) for file in tmp_path.iterdir()] == [(target, "old")]
