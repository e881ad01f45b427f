"""Real servers for tests, as fixtures. Everything listens on the loopback only and ends with the test run."""
