"""Data sets of this checkout; never installed, see CONTRIBUTING.md."""
