"""One table of requests, run through every adapter: the same request gets the same answer, byte for byte."""
