"""Commands as a person types them."""

import subprocess
import sys
from collections.abc import Mapping

from paperdesk.environment import BASE_DIR

LAST_SECONDS_MAX = 60


def manage(environment: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """Run `manage.py` in a process of its own; return its status, output and errors."""
    command = [sys.executable, "manage.py", *words]
    return subprocess.run(
        command, cwd=BASE_DIR, env=dict(environment), capture_output=True, text=True, timeout=LAST_SECONDS_MAX
    )
