"""Addresses of the pages; the login's are the project's."""

from django.urls import path

from trading import views

urlpatterns = [
    path("", views.live_desk, name="desk"),
    path("trades/<uuid:trade_id>/", views.trade, name="trade"),
]
