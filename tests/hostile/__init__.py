"""Hostile credentials and requests: one corpus, through the clients and through every server on real sockets."""
