"""REST v1 for clients: one file per noun."""
