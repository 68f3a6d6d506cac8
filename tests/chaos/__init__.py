"""A chaos run: real servers under load while what they lean on fails, judged by an oracle. `make chaos` runs it.

_phases.py     what goes wrong, when: data          _proxy.py    stands before the sandbox and misbehaves
_oracle.py     which answers are right then: pure   _cast.py     who calls: users, tokens, forgers
_servers.py    the applications, as processes       _load.py     sends requests, keeps what came
_conductor.py  plays the phases                     _report.py   counts, prints, writes RESULTS.md
"""
