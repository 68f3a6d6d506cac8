"""What everything else stands on: strict JSON, locks that survive a fork, a sparing log, what settings may be, guards against
misuse.
"""
