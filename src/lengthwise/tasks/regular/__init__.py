"""Regular languages: automata, exact samplers, and the task that they make."""
