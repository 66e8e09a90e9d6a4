"""The API's endpoints of the settings: read-only, each setting with its meaning, unit, range and default.

They are changed in the admin or by `manage.py settings`; `POST settings/check/` says what those would say of a desk,
and changes nothing.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

import msgspec
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from paperdesk.rest import ExactDecimal, ViewPermission, refuse_unknown
from trading import wiring
from trading.config import desk_of
from trading.domain.errors import ConfigurationError
from trading.domain.settings import Setting, settings_of
from trading.settings_columns import values_of_row
from trading.settings_desk import current_desk
from trading.settings_guide import default_text
from trading.settings_live import as_json, in_force_now, standing_of
from trading.settings_models import Instrument, SettingsModel, Strategy, Venue


class StandingSerializer(serializers.Serializer):
    """Whether a row is in force."""

    state = serializers.ChoiceField(choices=["live", "off", "waits", "not yet", "elsewhere", "unknown"])
    since_us = serializers.IntegerField(allow_null=True, help_text="Microseconds since the epoch, UTC.")
    sentence = serializers.CharField(help_text="What a person should know besides.")


def describe(setting: Setting) -> str:
    """Meaning, unit, range and default of a setting, in one line."""
    parts = [setting.meaning, f"Unit: {setting.unit}." if setting.unit else ""]
    parts.append(f"Allowed: {setting.range_text}." if setting.range_text else "")
    parts.append("" if setting.required else f"Default: {default_text(setting.default)}.")
    return " ".join(part for part in parts if part)


def serializer_of_settings(model: type[SettingsModel]) -> type[serializers.Serializer]:
    """A serializer of the settings of a kind of row, and of how the row stands."""
    fields: dict[str, Any] = {}
    for setting in settings_of(model.struct):
        options: dict[str, Any] = {"help_text": describe(setting), "allow_null": setting.optional}
        match setting.kind:
            case "decimal":
                fields[setting.name] = ExactDecimal(**options)
            case "integer":
                fields[setting.name] = serializers.IntegerField(**options)
            case "yes_no":
                fields[setting.name] = serializers.BooleanField(**options)
            case "list":
                leg = serializers.DictField(child=serializers.CharField())
                fields[setting.name] = serializers.ListField(child=leg, **options)
            case _:
                fields[setting.name] = serializers.CharField(**options)
    fields["settings_version"] = serializers.IntegerField(help_text="The desk's version that brought this row.")
    fields["changed_at"] = serializers.DateTimeField(help_text="UTC.")
    fields["changed_by"] = serializers.CharField()
    fields["in_force"] = StandingSerializer()
    return type(f"{model.__name__}SettingsSerializer", (serializers.Serializer,), {"__doc__": model.__doc__, **fields})


class SettingsViewSet(viewsets.ReadOnlyModelViewSet):
    """Rows of settings in their order; all of them on one page."""

    permission_classes: ClassVar = [ViewPermission]
    filter_backends: ClassVar[list[Any]] = []
    pagination_class = None
    lookup_value_regex = "[^/]+"

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """All rows."""
        refuse_unknown(request, known=set())
        told = in_force_now(wiring.page_redis_client)
        return Response([self.shown(row, *told) for row in self.get_queryset()])

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """One row by its key."""
        refuse_unknown(request, known=set())
        return Response(self.shown(self.get_object(), *in_force_now(wiring.page_redis_client)))

    def shown(self, row: SettingsModel, told: Any, trouble: str) -> dict[str, Any]:
        """The row as the API gives it."""
        about = {name: getattr(row, name) for name in ("settings_version", "changed_at", "changed_by")}
        standing = as_json(standing_of(row, told, trouble))
        return self.get_serializer({**values_of_row(row.struct, row), **about, "in_force": standing}).data


@extend_schema(tags=["settings"])
class VenueViewSet(SettingsViewSet):
    """Venues: fees, latencies, queue thresholds."""

    queryset = Venue.objects.all()
    serializer_class = serializer_of_settings(Venue)


@extend_schema(tags=["settings"])
class InstrumentViewSet(SettingsViewSet):
    """Instruments: steps, assets, contract types; the key is `venue:symbol`."""

    queryset = Instrument.objects.all()
    serializer_class = serializer_of_settings(Instrument)


@extend_schema(tags=["settings"])
class StrategyViewSet(SettingsViewSet):
    """Strategies, one portfolio each; the key is the prefix."""

    queryset = Strategy.objects.all()
    serializer_class = serializer_of_settings(Strategy)


class DeskSerializer(serializers.Serializer):
    """A desk as a settings file has it: what is left out has its default."""

    seed = serializers.IntegerField(required=False)
    venues = serializers.ListField(child=serializers.DictField())
    instruments = serializers.ListField(child=serializers.DictField())
    strategies = serializers.ListField(child=serializers.DictField())


class VerdictSerializer(serializers.Serializer):
    """What the admin and the command would say."""

    ok = serializers.BooleanField()
    error = serializers.CharField(help_text="Names whose setting it is, the field and the value; empty when all is ok.")
    field = serializers.CharField(help_text="The setting at fault, where it is a single one.")


class MayViewSettings(ViewPermission):
    """Checking is looking: it takes what reading takes."""

    perms_map: ClassVar = {**ViewPermission.perms_map, "POST": ViewPermission.perms_map["GET"]}


@extend_schema(tags=["settings"])
class DeskSettingsViewSet(viewsets.ViewSet):
    """The whole desk."""

    queryset = Strategy.objects.none()  # whoever may view strategies may view the desk
    permission_classes: ClassVar = [MayViewSettings]

    @extend_schema(responses=DeskSerializer)
    def list(self, request: Request) -> Response:
        """The desk in the database, as a settings file has it; numbers are text."""
        refuse_unknown(request, known=set())
        found = current_desk()
        return Response({"version": found.version, **msgspec.to_builtins(found.desk)})

    @extend_schema(request=DeskSerializer, responses={200: VerdictSerializer, 400: VerdictSerializer})
    @action(detail=False, methods=["post"])
    def check(self, request: Request) -> Response:
        """Whether a desk would be accepted; nothing is changed."""
        try:
            desk_of(msgspec.json.decode(msgspec.json.encode(_exact(request.data)), type=dict))
        except (ConfigurationError, msgspec.ValidationError) as error:
            refused = {"ok": False, "error": str(error), "field": getattr(error, "field", "")}
            return Response(refused, status=status.HTTP_400_BAD_REQUEST)
        return Response({"ok": True, "error": "", "field": ""})


def _exact(given: Any) -> Any:
    """Floats of a JSON body as the text that was sent: 0.1 is meant as 0.1."""
    if isinstance(given, float):
        return str(Decimal(repr(given)))
    if isinstance(given, dict):
        return {name: _exact(value) for name, value in given.items()}
    return [_exact(value) for value in given] if isinstance(given, list) else given
