"""Claims about Anchorwatch, one folder a package; `make test` runs them."""
