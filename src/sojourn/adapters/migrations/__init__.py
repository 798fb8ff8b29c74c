"""The chain of migrations, one for both dialects; run at every start. Migrations only add."""
