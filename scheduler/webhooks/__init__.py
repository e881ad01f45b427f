"""Webhooks: addresses that are told of a project's events, signed, in order, at least once."""
