"""One module a file format: it reads a file into a `Foreign`, and knows nothing of networks."""
