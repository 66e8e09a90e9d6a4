"""The word that chooses a market feed: `synthetic`, `replay:FILE,FILE` or `ccxt:EXCHANGE,EXCHANGE`."""

from pathlib import Path

from paperdesk.errors import ConfigurationError


def absolute_feed(feed: str) -> str:
    """Return `feed` with its files as absolute paths. Raises ConfigurationError for another shape or a missing file."""
    kind, _, names = feed.partition(":")
    if feed == "synthetic":
        return feed
    listed = [name for name in names.split(",") if name]
    if kind not in {"replay", "ccxt"} or not listed:
        raise ConfigurationError(f"feed is {feed!r}; it must be synthetic, replay:FILE,FILE or ccxt:EXCHANGE,EXCHANGE")
    if kind == "ccxt":
        return feed
    return "replay:" + ",".join(_absolute(name) for name in listed)


def _absolute(name: str) -> str:
    """A file's name with an absolute path; a `venue=` or `venue:SYMBOL=` before it stays."""
    venue, equals, path = name.rpartition("=")
    if not Path(path).is_file():
        raise ConfigurationError(f"feed names {path}, which is not a file")
    return f"{venue}{equals}{Path(path).resolve()}"
