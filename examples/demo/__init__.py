"""The demo: a sandbox on real HTTP, the example applications on real servers, and people who knock."""
