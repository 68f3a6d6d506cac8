-- What every Supabase project has from the start, in small, for a PostgreSQL of your own.
-- Do NOT run this on Supabase: roles, schema and functions are there already. Run it once, as a superuser.

-- A request arrives as `authenticator`, who may do nothing but take one of the other roles: `anon` without a token,
-- else the one that the token's claim `role` names. `service_role` is bound by no policy: never sign a token for it.
-- Roles belong to the whole server, so another database may have made them. Give `authenticator` a password where
-- others can reach the server: ALTER ROLE authenticator PASSWORD '...';
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'authenticator') THEN
    CREATE ROLE anon NOLOGIN NOINHERIT;
    CREATE ROLE authenticated NOLOGIN NOINHERIT;
    CREATE ROLE service_role NOLOGIN NOINHERIT BYPASSRLS;
    CREATE ROLE authenticator LOGIN NOINHERIT;
    GRANT anon, authenticated, service_role TO authenticator;
  END IF;
END
$$;

GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated, service_role;

-- Who asks: PostgREST writes the verified claims into the setting `request.jwt.claims` of the transaction. Versions
-- before 12 could write one setting for each claim as well, `request.jwt.claim.sub`, and Supabase still reads it first.
CREATE SCHEMA auth;
GRANT USAGE ON SCHEMA auth TO anon, authenticated, service_role;

CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$
  SELECT coalesce(
    nullif(current_setting('request.jwt.claim.sub', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
  )::uuid
$$;

CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT coalesce(
    nullif(current_setting('request.jwt.claim', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')
  )::jsonb
$$;
