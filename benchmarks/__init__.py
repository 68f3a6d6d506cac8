"""Measurements: ratios against named baselines of the same run, never tests."""
