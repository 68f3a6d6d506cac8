"""What `manage.py` is in a project of its own.

Set HEXCLAVE_PROJECT_ID and HEXCLAVE_SECRET_SERVER_KEY, and for webhooks HEXCLAVE_WEBHOOK_SECRET, then::

    python -m examples.django_project runserver

`python -m examples.django_project hexclave_check --online` says beforehand what would be wrong.
"""

from __future__ import annotations

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "examples.django_project.settings")
    execute_from_command_line(sys.argv)
