"""What people may ask about dead letters. Apart from `results.services`, so that the web need not load the stores."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import structlog

from paperdesk import roles
from results.domain.errors import PaperDeskError
from results.models import DeadLetter, DeadLetterState

logger = structlog.get_logger(__name__)


class RetryForbidden(PaperDeskError):
    """The user may look at dead letters and not have them tried again."""


def dead_letters_retry(ids: Iterable[str], user: Any) -> str:
    """Have open dead letters tried again at the next sync, within seconds; says how many. Raises RetryForbidden."""
    if not roles.may_command(user):
        raise RetryForbidden("only staff may have a dead letter tried again")
    wanted = sorted(set(ids))
    asked = DeadLetter.objects.filter(pk__in=wanted, state=DeadLetterState.OPEN)
    count = asked.update(state=DeadLetterState.ASKED, asked_by=str(user))
    logger.info("dead_letters_retried", letters=count, user=str(user))
    others = f"; {len(wanted) - count} were done or asked for already" if count < len(wanted) else ""
    return f"{count} dead letters are tried again at the next sync, in about 3 s{others}. Load this page again then."
