"""What answers look like, for the API's description and for tests: every field with its unit and an example.

Answers are written as they come from the queries; tests hold each of them against its model, which allows nothing else.
"""
