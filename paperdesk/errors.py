"""The project's own errors. The root of all errors stands on the ground floor, where the domains can reach it."""

from results.domain.errors import PaperDeskError

__all__ = ["ConfigurationError", "PaperDeskError"]


class ConfigurationError(PaperDeskError):
    """A setting, an address or a server's configuration that PaperDesk must not run with."""
