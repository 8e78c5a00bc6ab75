"""Who may ask the read API for what: API keys, JSON Web Tokens, roles, confinement to ad accounts, limits, the audit log.

`control` puts it together; `dependencies` is what routes use, and the only module here that knows FastAPI.
"""
