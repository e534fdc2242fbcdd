"""Undocumented parts of Streamlit that we use. No other module imports them; ``preload`` reads its files.

pyproject.toml bounds Streamlit to the minor version they were written against; a test names each part
that a newer version lacks.
"""

from streamlit.components.v2.types import ComponentRenderer
from streamlit.elements.lib.column_types import ColumnConfig
from streamlit.navigation.page import Page

__all__ = ["ColumnConfig", "ComponentRenderer", "Page"]
