"""Sessions: a backend, a context and the generations that belong to both."""
