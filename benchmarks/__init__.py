"""Speed and memory, measured as a user meets them: whole commands over HTTP, beside a bare loop in the same run.

`make bench` runs everything and prints a table a benchmark; `python -m benchmarks NAME` runs one. Every figure is a ratio or
a time against a stated limit; a limit that is missed is marked, and nothing fails.
"""
