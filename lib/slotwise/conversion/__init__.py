"""A finished run's model in other formats: converted, opened again, and measured beside the original."""
