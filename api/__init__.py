"""The door: REST v1 for clients, REST for workers, the first page. It decides nothing; the scheduler does."""
