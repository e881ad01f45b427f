"""Ratios against peers and limits, both sides measured side by side in one run: ``make bench``."""
