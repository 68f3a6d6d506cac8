"""The settings of the Django example with the run's times: what stands there for permissions wins over variables."""

from examples.django_project.settings import *  # noqa: F403

HEXCLAVE = {}
