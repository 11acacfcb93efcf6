"""A browser and a server for the tests of this folder."""

from browsers import chromium, serve, tab_of

__all__ = ["chromium", "serve", "tab_of"]
