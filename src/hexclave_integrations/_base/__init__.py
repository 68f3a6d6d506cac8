"""What everything else stands on: strict JSON, locks that survive a fork, a sparing log, guards against misuse."""
