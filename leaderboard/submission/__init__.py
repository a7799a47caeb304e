"""What an entry is, the pipeline that is generated from it, and the ``heldout`` command."""
