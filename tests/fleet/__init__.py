"""A fleet: eight processes behind a round-robin, through starts, deploys, outages and fail-overs; `make fleet`.

What is asked of Hexclave is counted at a proxy in front of one sandbox, each answer is held against what is right at
that moment, and `_report.py` says which promises the counts have to keep.
"""
