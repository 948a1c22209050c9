"""Frames of venues' public streams, from recordings and from live connections alike.

`envelopes` takes a recording's lines apart, a venue's parser turns each frame into `messages`, `books` keeps the sequence of
each symbol's book, and `source` makes contract events of it all.
"""
