"""Find a token in a request, choose its key, verify it. Pure: `now` is passed in."""
