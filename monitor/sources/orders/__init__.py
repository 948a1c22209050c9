"""Order-by-order recordings besides LOBSTER: Databento's MBO, Bitstamp's order log, Bitfinex's raw books.

A reader takes a file apart into `messages`, `ledger` keeps the orders of each symbol and makes events of them, `source` joins
both.
"""
