"""A Django application with a user model of its own, which has a field for the Hexclave id."""
