"""The brain: registry, transitions, placement, dispatch, leases, caching, artifact store, model inspection."""
