"""Style sheets, scripts and pictures, served whole.

WhiteNoise answers with a file that is read while it is sent. Under ASGI Django cannot await that, warns, and reads all
of it first anyway. The largest file has 1.4 MB: it is read at once, here.
"""

from __future__ import annotations

import contextlib

from django.http import HttpRequest, HttpResponse
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.responders import StaticFile


class StaticFiles(WhiteNoiseMiddleware):
    """WhiteNoise, whose answers are no streams."""

    @staticmethod
    def serve(static_file: StaticFile, request: HttpRequest) -> HttpResponse:
        """The file, or what WhiteNoise says of it (304, 206, 405), with WhiteNoise's headers and no others."""
        with contextlib.closing(WhiteNoiseMiddleware.serve(static_file, request)) as streamed:
            answer = HttpResponse(b"".join(streamed), status=streamed.status_code)
        del answer["Content-Type"]
        for name, value in streamed.items():
            answer[name] = value
        return answer
