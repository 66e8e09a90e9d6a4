"""Prints the page docs/settings.md: every setting with its meaning, unit, range and default."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from trading.settings_guide import guide


class Command(BaseCommand):
    help = "Prints docs/settings.md, written from the declarations of the settings."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(guide(), ending="")
