"""A FastAPI application behind Hexclave."""
