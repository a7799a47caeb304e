"""How the benchmark works. ``stages/`` says when; this package never imports it."""

__version__ = "2026.1"
