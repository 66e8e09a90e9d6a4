"""Replacing a file in one step, so that a reader, or a start after a kill, finds the old one or the new one whole."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

OWNER_ONLY = 0o600


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a draft beside `target`, readable by its owner only; it takes the place of `target` at the end.

    On an error, as when the disk is full, the draft is removed and `target` is as it was. Raises OSError.
    """
    draft = target.with_name(f"{target.name}.{os.getpid()}.draft")
    try:
        draft.touch(mode=OWNER_ONLY)
        yield draft
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
