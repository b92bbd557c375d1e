"""The database: engine, unit of work with group commit, migrations, audit, and wrapping of keys at rest."""
