"""A Django application with the table that says which row of Django's users stands for which Hexclave user.

::

    INSTALLED_APPS = [..., "django.contrib.auth", "hexclave_integrations.django", "hexclave_integrations.django.users"]
    AUTHENTICATION_BACKENDS = [..., "hexclave_integrations.django.backends.HexclaveBackend"]
    HEXCLAVE = {"DJANGO_USERS": True}

It is an application of its own, since projects without Django's users have nothing that the table could point to.
"""
