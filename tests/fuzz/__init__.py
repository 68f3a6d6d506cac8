"""Coverage-guided fuzzing of everything that reads a stranger's bytes; `python -m tests.fuzz`, or `make fuzz`.

A target is a function of bytes that raises when a law of ours is broken: only our own refusals come out, nothing is
accepted that nobody signed, another reader agrees, the time is bounded. `test_targets.py` runs the same functions, and
shows of each that it notices a reader that is too lax.
"""
