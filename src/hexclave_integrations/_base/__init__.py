"""What everything else stands on: a strict JSON reader, locks that survive a fork, guards against misuse."""
