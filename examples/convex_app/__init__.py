"""A FastAPI application that asks Convex in its caller's name, and what stands in for Convex at home."""
