"""A FastAPI application whose rows live in Supabase, and what stands in for Supabase at home."""
