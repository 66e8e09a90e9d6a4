"""`python -m paperdesk.embedded.celery_program beat|QUEUE`: Celery's beat, or a worker of one queue.

The same as `celery -A paperdesk.celery beat` and `... worker --queues QUEUE --pool=solo`, which start a third later:
Celery's command line imports that of each of its commands, and a library for terminals that one of them needs.
"""

import sys
import warnings

from celery.utils.nodenames import default_nodename, host_format

from paperdesk.celery import app

# Celery warns root, as in a container, of pickled messages; ours are JSON only.
SUPERUSER = "You're running the worker with superuser"
BEAT = "beat"


def main(name: str) -> int:
    """Run until SIGTERM. Returns the exit status."""
    if name == BEAT:
        app.Beat(quiet=True, loglevel="WARNING").run()
        return 0
    warnings.filterwarnings("ignore", SUPERUSER)
    worker = app.Worker(
        hostname=host_format(default_nodename(f"{name}@%h")),
        queues=[name],
        pool_cls="solo",  # it runs in its main process: nothing is opened before a fork
        loglevel="WARNING",
        quiet=True,
        without_gossip=True,  # no worker talks to another
        without_mingle=True,
        without_heartbeat=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
