"""What machines ask: is the process up (`/healthz`), are its stores (`/readyz`), its numbers (`/metrics`)."""

import asyncio
import hmac
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden, JsonResponse
from django_prometheus.exports import ExportToDjangoView
from health_check.checks import Cache, Database
from health_check.views import HealthCheckView

from trading import wiring
from trading.engine.alarms import FOLLOWER_NAMES, TRAIL, VERIFIERS
from trading.stores.errors import RedisAway
from trading.stores.monitor_store import SnapshotStore

STORES = {Database: "database", Cache: "redis"}


def healthz(request: HttpRequest) -> HttpResponse:
    """Answer as long as this process serves requests; it looks at nothing else."""
    return JsonResponse({"status": "ok"})


class Readyz(HealthCheckView):
    """Database and Redis answer: 200, else 503; the body names each. ClickHouse may be away, or the stores may differ:
    pages go on, `stores` says what the last verification found, and `behind` who is in trouble.

    It tells names and a word of the cause, no addresses, so it is open: a load balancer has no login, and while the
    database is away nobody has one.
    """

    checks = (Database, Cache)

    async def get(self, request: HttpRequest, *args: str, **kwargs: str) -> HttpResponse:
        """`{"database": "ok", "redis": "ok", "stores": "agree", "audit_trail": "whole", "behind": {}}`, whatever the
        client would rather have.

        A follower in trouble stands in `behind` by name, with the rows or entries that wait for it.
        """
        results = await asyncio.gather(*(check.get_result(None) for check in self.get_checks()))
        said: dict[str, Any] = {STORES[type(result.check)]: str(result.error or "ok") for result in results}
        said |= await asyncio.to_thread(stores_said)
        return JsonResponse(said, status=503 if any(result.error for result in results) else 200)


def stores_said() -> dict[str, Any]:
    """`stores`: whether they agreed when they were last compared (agree, differ, not verified; unknown without Redis);
    `audit_trail`: likewise (whole, broken); `behind`: who is in trouble, with what waits."""
    try:
        states = SnapshotStore(wiring.page_redis_client()).sync()
    except RedisAway:
        return {"stores": "unknown", "audit_trail": "unknown", "behind": {}}
    found = [states[name] for name in VERIFIERS if name in states]
    word = "differ" if any(state["error"] for state in found) else "agree" if found else "not verified"
    trail = states.get(TRAIL)
    chain = "not verified" if trail is None else "broken" if trail["error"] else "whole"
    behind = {name: states[name]["lag"] for name in FOLLOWER_NAMES if name in states and states[name]["error"]}
    return {"stores": word, "audit_trail": chain, "behind": behind}


def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus text for staff, or for a scraper that sends PAPERDESK_METRICS_TOKEN as its bearer token."""
    expected = f"Bearer {settings.METRICS_TOKEN}"
    sent = request.headers.get("Authorization", "")
    by_token = bool(settings.METRICS_TOKEN) and hmac.compare_digest(sent.encode(), expected.encode())
    if not (by_token or getattr(request.user, "is_staff", False)):
        return HttpResponseForbidden("metrics need a staff login or the bearer token PAPERDESK_METRICS_TOKEN\n")
    return ExportToDjangoView(request)
