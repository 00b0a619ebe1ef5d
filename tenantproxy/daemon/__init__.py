"""The composition root: a document and signals in, a running proxy out."""
