"""Users in the admin. An administrator keeps users and their roles, but cannot make himself or others more than that.

Superusers are made by superusers or by `manage.py createsuperuser`. Users are retired (not active), never deleted:
what they proposed and decided keeps their name. Groups are fixed (`paperdesk.roles`).
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from paperdesk.admin_format import NOTHING, utc_seconds
from results.audit.trail import Deed, audit_add
from results.domain.units import us_of_datetime

admin.site.site_url = None  # the way to the live desk stands in the head of every page
admin.site.index_title = "Administration"

for registered in (User, Group):
    admin.site.unregister(registered)

ONLY_SUPERUSERS = ("is_superuser", "user_permissions")


@admin.register(User)
class DeskUserAdmin(UserAdmin):
    """Django's user pages without the ways to rise above one's own rights."""

    list_display = ("username", "first_name", "last_name", "roles", "is_active", "is_staff", "logged_in")
    list_filter = ("groups", "is_active")

    @admin.display(description="roles")
    def roles(self, user: User) -> str:
        """The user's groups."""
        named = [group.name for group in user.groups.all()]
        return ", ".join(["superuser", *named] if user.is_superuser else named)

    @admin.display(description="last login (UTC)", ordering="last_login")
    def logged_in(self, user: User) -> str:
        """When the user came in last."""
        return NOTHING if user.last_login is None else utc_seconds(user.last_login)

    def get_queryset(self, request: HttpRequest) -> Any:
        """Users with their groups, in two queries."""
        return super().get_queryset(request).prefetch_related("groups")

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        """Only a superuser grants single permissions or makes superusers."""
        fields = tuple(super().get_readonly_fields(request, obj))
        return fields if request.user.is_superuser else (*fields, *ONLY_SUPERUSERS)

    def log_addition(self, request: HttpRequest, obj: User, message: Any) -> Any:
        """Also in the audit trail."""
        _tell(request, "user added", obj, message)
        return super().log_addition(request, obj, message)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """Set a password, with its entry of the audit trail or not at all."""
        with transaction.atomic():
            return super().user_change_password(request, id, form_url)

    def log_change(self, request: HttpRequest, obj: User, message: Any) -> Any:
        """Also in the audit trail, a password that was set included."""
        _tell(request, "user changed", obj, message)
        return super().log_change(request, obj, message)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody but a superuser changes a superuser: who sets a password can log in with it."""
        if isinstance(obj, User) and obj.is_superuser and not request.user.is_superuser:
            return False
        return bool(super().has_change_permission(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never: a user is retired."""
        return False


def _tell(request: HttpRequest, action: str, user: User, message: Any) -> None:
    """Who keeps users could decide on his own proposal as somebody else; the trail has what he did for that."""
    told = {
        "name": user.get_username(),
        "roles": sorted(user.groups.values_list("name", flat=True)),
        "active": user.is_active, "staff": user.is_staff, "superuser": user.is_superuser,
        "changed": [name for each in message for name in each.get("changed", {}).get("fields", ())],
    }  # fmt: skip
    with transaction.atomic():
        deed = Deed(action, f"user {user.pk}", None, told)
        audit_add([deed], us_of_datetime(timezone.now()), request.user.get_username())


@admin.register(Group)
class RoleAdmin(GroupAdmin):
    """The roles, for reading."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never: roles come with the code."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never."""
        return False
