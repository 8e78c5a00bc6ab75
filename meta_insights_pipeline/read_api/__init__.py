"""The read API over HTTP: who may ask, how errors look, and what is answered from the published file.

Writes nothing to the warehouse and asks nothing of Meta.
"""
