"""Undocumented parts of Streamlit that we use, imported nowhere else; ``serving.preload`` reads its files.

pyproject.toml bounds Streamlit to the minor version they were written against; a test names each part
that a newer version lacks.
"""

from streamlit.components.v2.types import ComponentRenderer
from streamlit.config import is_manually_set
from streamlit.elements.lib.column_types import ColumnConfig
from streamlit.navigation.page import Page

__all__ = ["ColumnConfig", "ComponentRenderer", "Page", "is_manually_set"]
