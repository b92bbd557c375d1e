"""Several key servers as one: who is master, what replicas are told, how their grants come back."""
