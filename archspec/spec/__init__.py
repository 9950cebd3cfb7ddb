"""The language as written: fields, initialisers, claims, recipe and the network itself."""
