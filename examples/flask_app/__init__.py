"""A Flask application behind Hexclave."""
