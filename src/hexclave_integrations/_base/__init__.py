"""What all else stands on: strict JSON, what a setting may be, locks that survive a fork, guards against misuse."""
