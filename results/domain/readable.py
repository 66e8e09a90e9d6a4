"""Bytes that other programs wrote, as text for people."""

from __future__ import annotations


def readable(raw: bytes) -> str:
    r"""The text in UTF-8; bytes that are none are shown as `\xff`."""
    return raw.decode(errors="backslashreplace")
