"""The static site: ``collect`` reads files into records, ``pages`` turns records into HTML."""
