"""A venue's own feed: events under the contract, sent in batches over HTTP or a Redis stream, checked, kept, and read by feed.

`docs/ingest.md` is for whoever sends them; `monitor.ingest.client` is a small sender.
"""
