"""The figures of benchmarks/results on the pages that show them: `python -m benchmarks.page`."""
