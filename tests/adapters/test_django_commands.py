"""Management commands in the build of an image, where nothing of Hexclave is set, and the checks of a start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]

MANAGE = """
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project_settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""
SETTINGS = """
from tests.django_settings import *
HEXCLAVE = {"DJANGO_USERS": True}
AUTHENTICATION_BACKENDS = ["hexclave_integrations.django.backends.HexclaveBackend"]
ROOT_URLCONF = "project_urls"
INSTALLED_APPS = [*INSTALLED_APPS, "django.contrib.staticfiles"]
STATIC_URL, STATIC_ROOT = "static/", "static"
"""
URLS = """
from django.http import HttpResponse
from django.urls import path
from hexclave_integrations.django import require_team, webhook_view
from hexclave_integrations.webhooks import Webhooks

webhooks = Webhooks()
urlpatterns = [
    path("webhooks", webhook_view(webhooks)),
    path("teams/<uuid:team_id>", require_team("{team_id}")(lambda request, team_id: HttpResponse())),
]
"""
WSGI = """
import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project_settings")
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
call_command("check", tags=["hexclave"])
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose settings come from the environment, as they do in production."""
    for name, text in {"manage.py": MANAGE, "project_settings.py": SETTINGS, "project_urls.py": URLS}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "project_wsgi.py").write_text(WSGI)
    return tmp_path


def run(project: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("HEXCLAVE_", "STACK_", "DJANGO_"))
    }
    path = os.pathsep.join([str(project), str(_ROOT), str(_ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, *command],
        cwd=project,
        env={**kept, "PYTHONPATH": path, **variables},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


ALL = {
    "HEXCLAVE_PROJECT_ID": "00000000-0000-4000-8000-000000000000",
    "HEXCLAVE_SECRET_SERVER_KEY": "ssk_test",
    "HEXCLAVE_WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
}


BUILDING = [["makemigrations", "--check", "--dry-run"], ["collectstatic", "--noinput"], ["migrate"]]


@pytest.mark.parametrize("command", BUILDING, ids=lambda command: command[0])
def test_commands_of_a_build_need_no_settings(project: Path, command: list[str]) -> None:
    """They answer no requests; what is missing is a warning."""
    done = run(project, "manage.py", *command)
    assert done.returncode == 0, done.stderr
    if command[0] != "collectstatic":  # which runs no checks of this kind
        assert "hexclave.W003" in done.stderr


@pytest.mark.parametrize("command", [["check"], ["hexclave_check"], ["test"], ["runserver", "--noreload", "1"]])
def test_commands_that_check_or_serve_stop(project: Path, command: list[str]) -> None:
    """There, what is missing is an error, which says what and where to set it."""
    done = run(project, "manage.py", *command)
    assert done.returncode != 0
    assert "HEXCLAVE_" in done.stderr


@pytest.mark.parametrize("missing", ["HEXCLAVE_PROJECT_ID", "HEXCLAVE_SECRET_SERVER_KEY", "HEXCLAVE_WEBHOOK_SECRET"])
def test_a_server_does_not_start_without_a_setting(project: Path, missing: str) -> None:
    """With the checks in `wsgi.py`, the import of the application fails, so that gunicorn ends at once."""
    given = {name: value for name, value in ALL.items() if name != missing}
    done = run(project, "-m", "gunicorn", "--bind", "127.0.0.1:0", "project_wsgi", **given)
    assert done.returncode == 3, done.stderr  # a worker failed to boot
    assert missing in done.stderr


def test_the_same_project_with_all_settings(project: Path) -> None:
    """Nothing is wrong with it."""
    done = run(project, "-c", "import project_wsgi", **ALL)
    assert done.returncode == 0, done.stderr
