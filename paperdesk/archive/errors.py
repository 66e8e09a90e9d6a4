"""Why a backup cannot be made, or an archive not be restored. Each sentence names the file or store and the value."""

from paperdesk.errors import PaperDeskError


class BackupRefused(PaperDeskError):
    """A store does not let itself be copied, or the archive cannot be written there."""


class ArchiveDamaged(PaperDeskError):
    """The archive is not what was once written: a file in it is missing, cut, or has another checksum."""


class RestoreRefused(PaperDeskError):
    """There is something at the target already, or the archive does not fit it. Nothing was changed."""
