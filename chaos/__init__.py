"""The chaos suite: the whole farm as in production, real builds, and a seeded schedule of deaths and outages."""
