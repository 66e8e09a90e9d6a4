"""What stands in the terminal when a server is away."""

import subprocess
import sys

from paperdesk.environment import BASE_DIR

CODE = """
import logging.config
from paperdesk.logs import logging_settings
logging.config.dictConfig(logging_settings("console"))
for name in ("celery.beat", "trading.engine"):
    try:
        raise ConnectionError("refused")
    except ConnectionError:
        logging.getLogger(name).exception("no redis")
"""


def test_beat_says_in_one_line_that_redis_is_away_and_a_fault_of_ours_keeps_its_traceback() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], cwd=BASE_DIR, capture_output=True, text=True, timeout=30)
    beat, _, engine = done.stderr.partition("[celery.beat]")
    assert len(beat.splitlines()) == 1
    assert "no redis" in beat
    assert "Traceback" not in beat
    assert "ConnectionError: refused" in engine
