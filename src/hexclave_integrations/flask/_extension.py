"""`Hexclave(app)`: settings, client, middleware, error handler, templates, JSON and command of an application."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flask import Flask

from .._adapter.default import check_default_settings, checked_default
from ..client import HexclaveClient
from ..config import HexclaveConfig
from ..errors import ConfigurationError
from ._caller import EXTENSION, Installation, current_user, installation
from ._cli import commands
from ._default import ask_default_first
from ._middleware import CallerMiddleware
from ._page_cache import guard_page_caches
from ._refusals import handle_refusals, handle_refusals_first
from ._requirements import FlaskRequirement
from ._sock import guard_websockets
from ._startup import check_routes
from ._values import answer_with_values, encode_values

__all__ = ["Hexclave"]

_WHOLE: Final = ("HEXCLAVE_CONFIG", "HEXCLAVE")


class Hexclave:
    """Puts Hexclave in front of Flask applications, each with a project of its own if need be.

    Args:
        app: the application; None to call `init_app` later, as a factory does.
        config: the settings. When None they are `app.config["HEXCLAVE_CONFIG"]`, else `app.config["HEXCLAVE_..."]` and
            the environment.
        default: what every route asks that has no requirement of its own and is not marked `@public`, `require_user`
            for instance. Flask's own static files are for everybody.

    Raises:
        ConfigurationError: a setting is missing or wrong.
    """

    def __init__(
        self,
        app: Flask | None = None,
        config: HexclaveConfig | None = None,
        *,
        default: FlaskRequirement | None = None,
    ) -> None:
        self._config = config
        self._default = checked_default(default, FlaskRequirement, "Hexclave(app, default=require_user)")
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask, config: HexclaveConfig | None = None) -> None:
        """Install on an application that is configured and has not served a request yet.

        A test that imports a finished application gives it other settings by `app.config["HEXCLAVE_CONFIG"]`, which
        counts from the next request on, whatever the settings were.

        Args:
            app: the application.
            config: settings for this application; otherwise as given to `Hexclave`.

        Raises:
            ConfigurationError: a setting is missing or wrong, `app` is no Flask application, or has Hexclave already.
        """
        if not isinstance(app, Flask):
            raise ConfigurationError("Hexclave(app) takes the Flask application itself.")
        if EXTENSION in app.extensions:
            raise ConfigurationError(
                "Hexclave is installed on this application already. For a test, set "
                'app.config["HEXCLAVE_CONFIG"] = sandbox.config.'
            )
        given = config or self._config
        if given is not None and not isinstance(given, HexclaveConfig):
            raise ConfigurationError("Hexclave(app, config) takes a HexclaveConfig(...).")
        found = Installation(HexclaveClient(given or _settings(app)), self._default)
        check_default_settings(self._default, found.client.config)
        handle_refusals(app)
        answer_with_values(app)
        encode_values(app)
        app.context_processor(lambda: {"current_user": current_user})
        middleware = CallerMiddleware(app.wsgi_app, _Current(app, found).find, lambda: _prepare(app))
        app.wsgi_app = middleware  # type: ignore[method-assign]  # as Flask says to
        app.cli.add_command(commands)
        app.extensions[EXTENSION] = found
        if self._default is not None:
            ask_default_first(app, self._default)

    def check(self, app: Flask) -> None:
        """Look at the requirements of all routes now, and not when the first request comes.

        Call it where the server imports the application, at the end: a wrong application then does not start.

        Args:
            app: the application, with all its routes.

        Raises:
            ConfigurationError: a requirement cannot work, or guards nothing; the message has a line for each.
        """
        found: Installation | None = app.extensions.get(EXTENSION)
        if found is None:
            raise ConfigurationError("Hexclave is not installed on this application: call Hexclave(app) first.")
        check_default_settings(found.default, found.client.config)
        check_routes(app, found.client.config)

    @property
    def client(self) -> HexclaveClient:
        """The client of the current application, for use in your own code.

        Raises:
            ConfigurationError: Hexclave is not installed on it.
            RuntimeError: there is no application context.
        """
        return installation().client


class _Current:
    """The installation of an application, made anew when `app.config["HEXCLAVE_CONFIG"]` is another one.

    Args:
        app: the application, with the setting that it has on installation.
        first: as it was installed.
    """

    def __init__(self, app: Flask, first: Installation) -> None:
        self._app = app
        self._first = self._latest = first
        self._first_given = self._given = app.config.get(_WHOLE[0])

    def find(self) -> Installation:
        """The installation that counts now; also in `app.extensions`."""
        app = self._app
        given = app.config.get(_WHOLE[0])
        if given is not self._given:
            same = given is self._first_given
            self._latest = self._first if same else Installation(HexclaveClient(_settings(app)), self._first.default)
            self._given = given
            app.extensions[EXTENSION] = self._latest
        return self._latest


def _settings(app: Flask) -> HexclaveConfig:
    """The settings of an application: a whole configuration, or one by one."""
    for name in _WHOLE:
        given: Any = app.config.get(name)
        if isinstance(given, HexclaveConfig):
            return given
        if isinstance(given, Mapping):  # spelt as in Django
            return HexclaveConfig.from_mapping(given)
        if given is not None:
            raise ConfigurationError(f'app.config["{name}"] is no HexclaveConfig: write HexclaveConfig(...).')
    return HexclaveConfig.from_mapping({n: value for n, value in app.config.items() if n not in _WHOLE}, "HEXCLAVE_")


def _prepare(app: Flask) -> None:
    """What waits until the application is complete: all routes, all extensions."""
    installed: Installation = app.extensions[EXTENSION]
    check_routes(app, installed.client.config)
    if installed.default is not None:
        ask_default_first(app, installed.default)
    handle_refusals_first(app)
    encode_values(app)
    guard_page_caches(app)
    guard_websockets(app)
