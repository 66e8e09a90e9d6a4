"""The rows of an admin's list as a file: all that its filters and search leave, not only the page that is shown.

The table is read page by page in the list's own order, each page by the key of the row before (no OFFSET), in a
transaction of its own, and sent before the next one is read: memory does not grow with the rows, and no writer waits.
Rows that come to be meanwhile are not in the file. An error on the way breaks the connection, so that no browser takes
the beginning for the whole; a Parquet file has no footer then. Each export is in the audit trail twice: when it begins,
with list and filters, and when it ends, with its rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import structlog
from asgiref.sync import sync_to_async
from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import path, reverse
from django.utils import timezone

from paperdesk.tables import kind_of
from results.audit.trail import Deed, audit_add
from results.domain.canonical import Column
from results.domain.units import us_of_datetime

ROWS_PER_PAGE = 5_000
CONTENT_TYPES = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}
NO_FILTERS = frozenset({"p", "o", "e", "all"})  # pages, order and errors of Django's lists

log = structlog.get_logger(__name__)


class ListExport(admin.ModelAdmin):
    """A list with a button that exports its rows, for everybody who may see them.

    sorted_by    the list's column of time, latest first, if it has one; else rows come by their keys
    """

    sorted_by: ClassVar[str] = ""

    def get_urls(self) -> list[Any]:
        """The list's addresses and `export/`."""
        name = f"{self.opts.app_label}_{self.opts.model_name}_export"
        return [path("export/", self.admin_site.admin_view(self.export_view), name=name), *super().get_urls()]

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """The file, for a POST of `format`; filters and search are in the address as the list has them."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        wanted = request.POST.get("format", "")
        if wanted not in CONTENT_TYPES:
            return HttpResponse(f"format {wanted!r}: csv or parquet", status=400, content_type="text/plain")
        try:
            rows = self.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters:
            return redirect(f"{reverse(f'admin:{self.opts.app_label}_{self.opts.model_name}_changelist')}?e=1")
        filters = {name: value for name, value in request.GET.items() if name not in NO_FILTERS}
        stream = Stream(Rows(rows, self.sorted_by), wanted, filters, request.user.get_username())
        name = f"{self.opts.db_table}-{timezone.now():%Y%m%dT%H%M%SZ}.{wanted}"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return StreamingHttpResponse(stream, content_type=CONTENT_TYPES[wanted], headers=headers)


class Rows:
    """The rows of a queryset, page by page: latest first by `sorted_by` and then by key, or by key alone."""

    def __init__(self, queryset: QuerySet[Any], sorted_by: str = "") -> None:
        meta = queryset.model._meta
        self.table = meta.db_table
        self.columns = [Column(field.column, kind_of(field), field.null) for field in meta.local_fields]
        self._names = [field.attname for field in meta.local_fields]
        self._key = meta.pk.attname
        # null has no place in an order that goes on from a value
        self._time = sorted_by if sorted_by not in ("", self._key) and not meta.get_field(sorted_by).null else ""
        self._queryset = queryset.order_by(*([f"-{self._time}"] if self._time else []), self._key)

    def pages(self) -> Iterator[list[tuple[Any, ...]]]:
        """All rows."""
        rows = self._queryset
        while page := list(rows.values_list(*self._names)[:ROWS_PER_PAGE]):
            yield page
            rows = self._queryset.filter(self._after(dict(zip(self._names, page[-1], strict=True))))

    def _after(self, last: dict[str, Any]) -> Q:
        behind = Q(**{f"{self._key}__gt": last[self._key]})
        if not self._time:
            return behind
        time = last[self._time]
        # the first condition is what an index is read by
        return Q(**{f"{self._time}__lte": time}) & (Q(**{f"{self._time}__lt": time}) | behind)


class Stream:
    """A file of rows in pieces, for a response. Django closes it whatever becomes of the response."""

    def __init__(self, rows: Rows, file_format: str, filters: dict[str, str], who: str) -> None:
        self._rows, self._format, self._filters, self._who = rows, file_format, filters, who
        self._sent, self._has_ended = 0, False
        self._pieces = self._made()
        self._tell("export begun")

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> bytes:
        piece = await sync_to_async(self._piece)()
        if piece is None:
            raise StopAsyncIteration
        return piece

    def close(self) -> None:
        """The response is over; an export that has not ended was broken off by its reader."""
        self._end("export broken off", "the reader went away")

    def _piece(self) -> bytes | None:
        try:
            return next(self._pieces)
        except StopIteration:
            self._end("exported")
            return None
        except Exception as error:
            log.error("export broken off", table=self._rows.table, rows=self._sent, error=str(error))
            self._end("export broken off", str(error))
            raise

    def _made(self) -> Iterator[bytes]:
        from results.stores import table_files as files  # pyarrow: 40 MB, and every process of a desk imports the admin

        drain = files.Drain()
        with files.table_file(drain, self._rows.columns, self._format) as file:
            for page in self._rows.pages():
                file.write_table(files.arrow_rows(self._rows.columns, page))
                self._sent += len(page)
                yield drain.taken()
        yield drain.taken()

    def _end(self, action: str, why: str | None = None) -> None:
        if not self._has_ended:
            self._tell(action, rows=self._sent, **({"why": why} if why else {}))
            self._has_ended = True

    def _tell(self, action: str, **more: Any) -> None:
        told = {"format": self._format, "filters": self._filters, **more}
        with transaction.atomic():
            audit_add([Deed(action, f"list {self._rows.table}", None, told)], us_of_datetime(timezone.now()), self._who)
