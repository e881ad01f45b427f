"""REST for workers: a token with the scope 'work' reaches these addresses and no other."""
