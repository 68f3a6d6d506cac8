"""What everything else stands on: a strict JSON reader, locks that survive a fork, the loop of a flow, a sparing log, guards against misuse."""
