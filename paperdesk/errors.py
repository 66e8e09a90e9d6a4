"""The root of every error that PaperDesk raises on purpose. Its text is one sentence with the values in it."""


class PaperDeskError(Exception):
    """An error that a person can read. `retryable` says whether the same call may work a moment later."""

    retryable: bool = False


class ConfigurationError(PaperDeskError):
    """A setting, an address or a server's configuration that PaperDesk must not run with."""
