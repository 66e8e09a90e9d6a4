"""Errors as ClickHouse gives them over HTTP: `Code: 60. DB::Exception: ...`, and the HTTP status of each code."""

from __future__ import annotations

import re

CODE = re.compile(r"Code: (\d+)\. ")
STATUS_DEFAULT = 500
STATUS_OF_CODES = {
    400: (6, 25, 26, 27, 38, 41, 53, 62, 69, 72, 117, 168, 321, 457),
    403: (164, 192, 193, 194, 497, 516),
    404: (46, 47, 50, 56, 60, 63, 73, 78, 81, 92, 115, 147, 336),
    408: (159,),
    411: (381,),
    413: (161, 167, 637),
    501: (48,),
    503: (202, 209, 439),
}
STATUS_OF_CODE = {code: status for status, codes in STATUS_OF_CODES.items() for code in codes}

AUTHENTICATION_FAILED = 516
ACCESS_DENIED = 497
BODY_TOO_LARGE = 637
UNKNOWN_COMPRESSION = 89
CANNOT_DECOMPRESS = 271
UNKNOWN_SETTING = 115
NOT_IMPLEMENTED = 48
UNKNOWN_EXCEPTION = 1002


class StatementFailed(Exception):
    """A statement was refused by the engine or by this interface. `code` is ClickHouse's, `status` is HTTP's."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.status = STATUS_OF_CODE.get(code, STATUS_DEFAULT)

    @property
    def text(self) -> str:
        """The error's body as ClickHouse writes it, one line."""
        return str(self).strip() + "\n"


def refused(code: int, sentence: str, name: str) -> StatementFailed:
    """A refusal of this interface, in the form of the engine's own errors."""
    return StatementFailed(code, f"Code: {code}. DB::Exception: {sentence} ({name})")


def from_engine(error: Exception) -> StatementFailed:
    """The engine's exception (its text begins with or contains `Code: N.`) as a StatementFailed."""
    text = str(error)
    found = CODE.search(text)
    if found is None:
        return StatementFailed(UNKNOWN_EXCEPTION, f"Code: {UNKNOWN_EXCEPTION}. DB::Exception: {text}")
    return StatementFailed(int(found[1]), text[found.start() :])
