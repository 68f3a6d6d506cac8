"""The version, in one place: packaging and the client-version header read it from here."""

__version__ = "0.1.0"
