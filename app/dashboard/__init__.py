"""The Streamlit dashboard: one package for each page, shared parts in `ui` and `data`."""
