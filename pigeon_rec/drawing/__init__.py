"""Drawing: one request in, one chosen picture out."""
