"""The parts of a page: each module gives one part's empty frame, which `assets/` fills from the stream."""
