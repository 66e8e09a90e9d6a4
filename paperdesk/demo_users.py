"""The users of a fresh desk, one of each role. Their passwords are made at random once, and kept in
`<data>/passwords.txt`.

The file has a line `name password` each and is readable by its owner only. A user who already exists is left alone;
whoever changes a password in the admin changes what works, not what the file says.
"""

import secrets
from pathlib import Path

from django.contrib.auth.models import Group, User

from paperdesk import roles
from paperdesk.drafts import replacing

ROLES = {"analyst": roles.ANALYST, "staff": roles.STAFF, "approver": roles.APPROVER, "admin": roles.ADMINISTRATOR}
PASSWORD_BYTES = 9


def ensure_demo_users(data: Path) -> dict[str, str]:
    """Make the users that are missing, in their groups; return the password of each that the file knows."""
    file = data / "passwords.txt"
    passwords = dict(line.split(maxsplit=1) for line in file.read_text().splitlines()) if file.exists() else {}
    missing = [name for name in ROLES if not User.objects.filter(username=name).exists()]
    for name in missing:
        passwords.setdefault(name, secrets.token_urlsafe(PASSWORD_BYTES))
    if missing:
        _keep(file, passwords)
    for name in missing:
        _create(name, passwords[name])
    return {name: passwords[name] for name in ROLES if name in passwords}


def _create(name: str, password: str) -> None:
    superuser = ROLES[name] == roles.ADMINISTRATOR
    user = User.objects.create_user(name, password=password, is_staff=True, is_superuser=superuser)
    user.groups.set(Group.objects.filter(name=ROLES[name]))


def _keep(file: Path, passwords: dict[str, str]) -> None:
    """Write the file before the users are made: a password is never only in the database."""
    with replacing(file) as draft:
        draft.write_text("".join(f"{name} {password}\n" for name, password in passwords.items()))
