"""REST interface of the server extension: thin handlers, one file per topic."""
