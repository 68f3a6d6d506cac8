"""What the adapters for Starlette and FastAPI share."""
