"""`Hexclave(app)`: settings, client, middleware, error handler, templates and command of an application."""

from __future__ import annotations

from flask import Flask

from ..client import HexclaveClient
from ..config import HexclaveConfig
from ..errors import ConfigurationError
from ._caller import EXTENSION, Installation, current_user, installation
from ._cli import commands
from ._middleware import CallerMiddleware
from ._refusals import handle_refusals, handle_refusals_first
from ._startup import check_routes

__all__ = ["Hexclave"]


class Hexclave:
    """Puts Hexclave in front of Flask applications, each with a project of its own if need be.

    Args:
        app: the application; None to call `init_app` later, as a factory does.
        config: the settings; read from `app.config["HEXCLAVE_..."]` and the environment when None.

    Raises:
        ConfigurationError: a setting is missing or wrong.
    """

    def __init__(self, app: Flask | None = None, config: HexclaveConfig | None = None) -> None:
        self._config = config
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask, config: HexclaveConfig | None = None) -> None:
        """Install on an application that is configured and has not served a request yet.

        Args:
            app: the application.
            config: settings for this application; otherwise as given to `Hexclave`.

        Raises:
            ConfigurationError: a setting is missing or wrong, `app` is no Flask application, or has Hexclave already.
        """
        if not isinstance(app, Flask):
            raise ConfigurationError("Hexclave(app) takes the Flask application itself.")
        if EXTENSION in app.extensions:
            raise ConfigurationError("Hexclave is installed on this application already.")
        settings = config or self._config or HexclaveConfig.from_mapping(app.config, "HEXCLAVE_")
        found = Installation(HexclaveClient(settings))

        def prepare() -> None:
            check_routes(app, settings)
            handle_refusals_first(app)

        handle_refusals(app)
        app.context_processor(lambda: {"current_user": current_user})
        app.wsgi_app = CallerMiddleware(app.wsgi_app, found, prepare)  # type: ignore[method-assign]  # as Flask says to
        app.cli.add_command(commands)
        app.extensions[EXTENSION] = found

    @property
    def client(self) -> HexclaveClient:
        """The client of the current application, for use in your own code.

        Raises:
            ConfigurationError: Hexclave is not installed on it.
            RuntimeError: there is no application context.
        """
        return installation().client
