"""Forms: a statement and its parameters as fields of a multipart body. clickhouse-connect sends long parameters so."""

from __future__ import annotations

from email.parser import BytesParser
from email.policy import HTTP
from typing import cast

from results.stores.embedded.failures import NOT_IMPLEMENTED, refused


def form_fields(content_type: str, body: bytes) -> dict[str, str]:
    """The fields by name; none in a body that is no such form. Raises StatementFailed for a file: external data."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1")
    form = BytesParser(policy=HTTP).parsebytes(head + body)
    fields = {}
    for part in form.iter_parts():
        if part.get_filename() is not None:
            raise refused(NOT_IMPLEMENTED, "External data is not supported", "NOT_IMPLEMENTED")
        name = str(part.get_param("name", header="content-disposition"))
        fields[name] = bytes(cast(bytes, part.get_payload(decode=True))).decode(errors="replace")
    return fields
