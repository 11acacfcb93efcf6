"""The studio over HTTP: who may speak to it, what each address does, the server.

Starlette and uvicorn, the extra ``[studio]``, are imported here and nowhere else. Read
``routes.py`` first.
"""
