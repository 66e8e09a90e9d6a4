"""The project's own errors. The root of all errors stands on the ground floor, where the domains can reach it."""

from results.domain.errors import PaperDeskError

__all__ = ["CommandFailed", "ConfigurationError", "PaperDeskError"]


class CommandFailed(PaperDeskError):
    """A command could not do, or did not find well, what it was asked about; the sentence is for whoever typed it."""


class ConfigurationError(PaperDeskError):
    """A setting, an address or a server's configuration that PaperDesk must not run with."""
