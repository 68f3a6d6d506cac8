"""What `manage.py` is in a project of its own.

Set HEXCLAVE_PROJECT_ID, HEXCLAVE_SECRET_SERVER_KEY and HEXCLAVE_WEBHOOK_SECRET, then::

    python -m examples.user_sync.django_project migrate --run-syncdb
    python -m examples.user_sync.django_project sync_users
    python -m examples.user_sync.django_project runserver
"""

from __future__ import annotations

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "examples.user_sync.django_project.settings")
    execute_from_command_line(sys.argv)
