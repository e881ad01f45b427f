"""The registry: the farm's truth, in SQL. Tables, connections and schema migrations."""
