"""Every key that PaperDesk uses, spelled here and nowhere else.

A portfolio's keys begin with its prefix ("strategy" for the first one, ruling 20); result hashes have
no prefix and belong to all portfolios; what only PaperDesk uses begins with `paperdesk:`.
Source: redis-schema "Key Patterns and Purposes", result-stream-layer 1-3, rulings 18-20.
"""

from __future__ import annotations

RESULT_PATTERN = "result:*"
RESULT_METRICS_PATTERN = "result_metrics:*"
RECONCILIATION_PATTERN = "reconciliation:*"
HASH_BEGINNINGS = ("result:", "result_metrics:", "reconciliation:")

OUTBOX = "paperdesk:outbox"  # stream: every durable row, in the order in which it came to be
OUTBOX_EPOCH = "paperdesk:outbox:epoch"  # string: uuid, a new one when history was lost (ruling 29)
VERSION_FLOORS = "paperdesk:outbox:floors"  # string: JSON, table -> version above which new ones lie (ruling 29)
OUTBOX_READ = "paperdesk:outbox:read"  # string: epoch and stream id up to which the log has read, or is about to
OUTBOX_LOSS = "paperdesk:outbox:loss"  # string: JSON, what is known of the last loss of history
TRIM_HOLDS = "paperdesk:outbox:trim_holds"  # hash: holder -> until when nothing is trimmed, Unix ms
RELAYED = "paperdesk:outbox:relayed"  # hash: table:key of a row born in Django -> epoch/version that the stream has
RECONCILE_POSITION = "paperdesk:reconcile:position"  # string: epoch and last stream id that was reconciled
RECONCILE_ASKED = "paperdesk:reconcile:asked"  # string: what a person wants reconciled again, JSON
COMMANDS = "paperdesk:commands"  # stream: what monitor, API and admin ask of the engine
DEAD_LETTERS = "paperdesk:dead_letters"  # stream: what could not be read or is not allowed, with its reason
SWEPT = "paperdesk:sweep:swept"  # hash: key of a record -> digests of the content that the sweep has dealt with
SET_ASIDE = "paperdesk:sweep:set_aside"  # hash: key of a record that is set aside -> id of its dead letter
SWEEP_COUNTS = "paperdesk:sweep:counts"  # hash: seen, accepted, set_aside
HOLDS = "paperdesk:holds"  # hash: prefix -> why its capital keeps the portfolio from opening trades
LOSS_HOLDS = "paperdesk:holds:loss"  # hash: prefix -> why a loss of Redis's history keeps it from opening trades
MARKET_INDEX = "paperdesk:market:index"  # set of instrument ids
FEEDS = "paperdesk:feeds"  # hash: engine shard -> how its feed does, JSON
AUDIT = "paperdesk:audit"  # string: the daily audit of the stores, JSON
AUDIT_TRAIL = "paperdesk:audit_trail"  # string: the daily verification of the audit trail, JSON
SYNC = "paperdesk:sync"  # hash: follower -> JSON
SNAPSHOT = "paperdesk:snapshot"  # string: newest snapshot for the browsers, JSON
PORTFOLIOS = "paperdesk:portfolios"  # hash: prefix -> JSON
DESK = "paperdesk:desk"  # string: the settings that the engine runs on, JSON
SETTINGS_IN_FORCE = "paperdesk:settings"  # hash: shard of the engine -> JSON, which version it runs on since when


def result(result_id: str) -> str:
    """Hash: an order's outcome. Source: result-stream-layer 1."""
    return f"result:{result_id}"


def result_metrics(result_id: str) -> str:
    """Hash: how an order was executed. Source: result-stream-layer 2."""
    return f"result_metrics:{result_id}"


def reconciliation(trade_id: str) -> str:
    """Hash: whether a trade came out as intended. Source: result-stream-layer 3."""
    return f"reconciliation:{trade_id}"


def hot_index(key: str) -> str:
    """Sorted set: key of a result hash -> when the sweep last found its content new, us. One for each kind of hash.
    Source: ruling 28."""
    return f"paperdesk:hot:{key.partition(':')[0]}"


def lease(name: str) -> str:
    """Hash `owner`, `token`, with an expiry: who may act as `name`."""
    return f"paperdesk:lease:{name}"


def engine_lease(shard: object) -> str:
    """The name of an engine shard's lease."""
    return f"engine:{shard}"


BACKUP_LEASE = "backup"  # while it is held nothing is trimmed, removed or relayed: a backup copies the stores


def fence(name: str) -> str:
    """Counter: the last fencing number given out for the lease `name`."""
    return f"paperdesk:fence:{name}"


def market(instrument_id: str) -> str:
    """Hash: top of book, mark price and funding of an instrument. Source: ruling 5."""
    return f"paperdesk:market:{instrument_id}"


def checkpoints(prefix: str) -> str:
    """Hash: engine shard -> its queue progress in this portfolio, JSON."""
    return f"paperdesk:checkpoints:{prefix}"


def witnesses(prefix: str) -> str:
    """Hash: order id -> its witness as of a checkpoint, JSON, until what its shadows came to is in the outbox."""
    return f"paperdesk:witnesses:{prefix}"


def commands_position(shard: str) -> str:
    """String: the last stream id of `COMMANDS` that an engine shard has dealt with."""
    return f"paperdesk:commands:position:{shard}"


def operation(operation_id: str) -> str:
    """String, with an expiry: the answer of a step that was applied, for a caller who did not hear it."""
    return f"paperdesk:operation:{operation_id}"


def id_of(key: str) -> str:
    """The id at the end of a `result:`, `result_metrics:`, `reconciliation:`, active or closed trade key."""
    return key.rpartition(":")[2]


class PortfolioKeys:
    """The keys of one portfolio."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.state = f"{prefix}:portfolio:state"  # string: PortfolioState
        self.metrics = f"{prefix}:monitor:portfolio_metrics"  # string: PortfolioMetrics
        self.daily = f"{prefix}:metrics:daily"  # string: daily metrics of the current UTC day
        self.leg_out_events = f"{prefix}:leg_out_events"  # list of LegOutEvent, newest first
        self.active_trades = f"{prefix}:monitor:active_trades"  # set of trade ids
        self.closed_index = f"{prefix}:trades:closed_index"  # sorted set: trade id by exit time in us
        self.archived_index = f"{prefix}:trades:archived_index"  # sorted set: of those whose record has left Redis
        self.archived = f"{prefix}:trades:archived"  # string: their counts and sums, JSON
        self.marks = f"{prefix}:monitor:marks"  # hash: JSON arrays, see monitor_store
        self.equity = f"{prefix}:monitor:equity"  # string: JSON
        self.active_pattern = f"{prefix}:trades:active:*"
        self.closed_pattern = f"{prefix}:trades:closed:*"

    def active_trade(self, trade_id: str) -> str:
        """String: an open PaperTrade."""
        return f"{self.prefix}:trades:active:{trade_id}"

    def closed_trade(self, trade_id: str) -> str:
        """String: a closed PaperTrade."""
        return f"{self.prefix}:trades:closed:{trade_id}"

    def daily_of(self, date: str) -> str:
        """String: daily metrics of a past UTC day, "YYYY-MM-DD". Source: ruling 19."""
        return f"{self.prefix}:metrics:daily:{date}"
