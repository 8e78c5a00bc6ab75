"""Reading the published file: opening it for queries, and the queries themselves. Writes nothing and knows no HTTP."""
