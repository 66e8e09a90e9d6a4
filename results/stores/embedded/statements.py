"""Statements as they come over HTTP: which are an INSERT with bytes behind it, and where those bytes begin.

    INSERT INTO `paperdesk`.`trade_result_log` (`a`, `b`) FORMAT Native\\n<bytes>

Only the head is parsed, and only in the form above; every other statement goes to the engine whole.
"""

from __future__ import annotations

import re

import msgspec

IDENTIFIER = rb"(?:`(?:[^`\\]|\\.)*`|\"[^\"]*\"|\w+)"
INSERT_HEAD = re.compile(
    rb"\s*(?P<head>INSERT\s+INTO\s+(?:TABLE\s+)?"
    + IDENTIFIER
    + rb"(?:\s*\.\s*"
    + IDENTIFIER
    + rb")?\s*(?:\((?:`[^`]*`|\"[^\"]*\"|[^()`\"])*\))?\s*(?:SETTINGS\s[^\n]*?\s)?)"
    rb"\s*FORMAT\s+(?P<format>\w+)[ \t]*(?:;[ \t]*)?(?:\r?\n|$)",
    re.IGNORECASE,
)
TRAILING_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
ANSWERING = re.compile(r"\s*(?:SELECT|WITH|SHOW|DESCRIBE|DESC|EXISTS|EXPLAIN|CHECK)\b|\s*\(", re.IGNORECASE)
HEAD_BYTES_MAX = 256 * 1024  # ClickHouse's own max_query_size
INLINE_FORMATS = frozenset({"values"})  # the engine's parser reads these itself


class InsertHead(msgspec.Struct, frozen=True):
    """`statement` without its FORMAT clause, the `format` of the bytes, and the offset where they begin."""

    statement: str
    format: str
    length_bytes: int


def insert_head(start: bytes) -> InsertHead | None:
    """The head of an INSERT that bytes follow, or None when `start` (a statement's first bytes) is anything else."""
    found = INSERT_HEAD.match(start, 0, HEAD_BYTES_MAX)
    if found is None:
        return None
    name = found["format"].decode()
    if name.lower() in INLINE_FORMATS:
        return None
    return InsertHead(found["head"].decode().strip(), name, found.end())


def answer_format(statement: str, default: str) -> str | None:
    """The format in which the statement answers, or None when it returns no rows (CREATE, INSERT, ...)."""
    if ANSWERING.match(statement) is None:
        return None
    found = TRAILING_FORMAT.search(statement)
    return found[1] if found else default
