"""The URL patterns of the test settings; a test overrides them with its own."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
