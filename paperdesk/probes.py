"""What machines ask: is the process up (`/healthz`), are its stores (`/readyz`), its numbers (`/metrics`)."""

import hmac

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden, JsonResponse
from django_prometheus.exports import ExportToDjangoView
from health_check.checks import Cache, Database
from health_check.views import HealthCheckView


def healthz(request: HttpRequest) -> HttpResponse:
    """Answer as long as this process serves requests; it looks at nothing else."""
    return JsonResponse({"status": "ok"})


class Readyz(HealthCheckView):
    """Database and Redis answer: 200, else 500 naming the one that does not. ClickHouse may be away: pages go on."""

    checks = (Database, Cache)

    def render_to_response(self, context: dict[str, object], **kwargs: int) -> HttpResponse:
        """Answer browsers in plain text too: the package's own page needs inline styles."""
        response: HttpResponse = self.render_to_response_text(kwargs["status"])
        return response


def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus text for staff, or for a scraper that sends PAPERDESK_METRICS_TOKEN as its bearer token."""
    expected = f"Bearer {settings.METRICS_TOKEN}"
    sent = request.headers.get("Authorization", "")
    by_token = bool(settings.METRICS_TOKEN) and hmac.compare_digest(sent.encode(), expected.encode())
    if not (by_token or getattr(request.user, "is_staff", False)):
        return HttpResponseForbidden("metrics need a staff login or the bearer token PAPERDESK_METRICS_TOKEN\n")
    return ExportToDjangoView(request)
