"""Every address of the web: probes, login, admin, API, pages."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import URLPattern, URLResolver, include, path

from paperdesk import probes

admin.autodiscover()

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", probes.healthz, name="healthz"),
    path("readyz", probes.Readyz.as_view(), name="readyz"),
    path("metrics", probes.metrics, name="metrics"),
    path("login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
    path("api/", include("paperdesk.api")),
    path("", include("trading.urls")),
]
