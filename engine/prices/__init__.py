"""Index, mark and funding: exact formulas of several venues, and the integer kernels that the built-in venue runs."""
