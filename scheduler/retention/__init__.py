"""What is kept, and for how long: pins, last uses, eviction, and the collection of bytes that nothing needs."""
