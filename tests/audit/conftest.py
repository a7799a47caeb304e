"""The real files, laid out as for the readers' tests."""

from tests.datasets.conftest import raw_folder, read_real, record_of

__all__ = ["raw_folder", "read_real", "record_of"]
