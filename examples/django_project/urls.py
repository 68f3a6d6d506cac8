"""Where the views are."""

from __future__ import annotations

from django.urls import path

from . import views

urlpatterns = [
    path("", views.welcome),
    path("me", views.me),
    path("teams/<uuid:team_id>/reports", views.export),
    path("api/teams/<uuid:team_id>/reports", views.Reports.as_view()),
    path("account", views.Account.as_view()),
    path("machine", views.machine),
]
