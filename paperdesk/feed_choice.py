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
    for name in listed:
        if not Path(name).is_file():
            raise ConfigurationError(f"feed names {name}, which is not a file")
    return "replay:" + ",".join(str(Path(name).resolve()) for name in listed)
