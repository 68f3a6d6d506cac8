-- The application's own part: a table, and who may read which of its rows. Run it in Supabase's SQL editor, or after
-- local.sql on a PostgreSQL of your own.
--
-- Hexclave's user id is the token's claim `sub`, which auth.uid() returns: give tables a column of type UUID for it.
-- Policies about anonymous users test for `is not true`, since a regular user's token lacks the claim altogether:
--   (auth.jwt() ->> 'is_anonymous')::boolean IS NOT TRUE
-- A project that does not expose new tables by itself also needs: GRANT SELECT ON data TO anon, authenticated;

CREATE TABLE data (id bigint PRIMARY KEY, text text NOT NULL, user_id UUID);

INSERT INTO data (id, text, user_id) VALUES
  (1, 'Everyone can see this', NULL),
  (2, 'Only authenticated users can see this', NULL),
  (3, 'Only user with specific id can see this', NULL);  -- UPDATE data SET user_id = '<id>' WHERE id = 3;

ALTER TABLE data ENABLE ROW LEVEL SECURITY;

CREATE POLICY "Public read" ON "public"."data" TO public USING (id = 1);
CREATE POLICY "Authenticated access" ON "public"."data" TO authenticated USING (id = 2);
CREATE POLICY "User access" ON "public"."data" TO authenticated USING (id = 3 AND auth.uid() = user_id);
