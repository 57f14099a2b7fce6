-- One of everything that a dump, a count or a restore could trip over. Run in an empty database by a superuser.
CREATE ROLE "Owner ""of"" all" LOGIN;
CREATE ROLE reader NOLOGIN;
CREATE ROLE "Größe ☃" LOGIN PASSWORD 'not-for-anybody';
ALTER ROLE reader SET search_path TO "$user", "Odd Schema";
GRANT reader TO "Größe ☃";
CREATE SCHEMA "Odd Schema" AUTHORIZATION "Owner ""of"" all";
CREATE SCHEMA extensions;
CREATE EXTENSION pgcrypto SCHEMA extensions;
CREATE EXTENSION hstore SCHEMA extensions;
CREATE EXTENSION pg_trgm SCHEMA extensions;
ALTER DEFAULT PRIVILEGES FOR ROLE "Owner ""of"" all" IN SCHEMA "Odd Schema" GRANT SELECT ON TABLES TO reader;

CREATE TYPE mood AS ENUM ('sad', 'it''s ok', 'happy "really"');
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE TYPE pair AS (first integer, second text);

-- Every name as odd as it gets: quotes, blanks, a line break, upper case, characters of several bytes, 63 bytes.
CREATE TABLE "Odd Schema"."Tab'le ""x"" %s" (
    "Id" bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "select" text, "we
ird" mood, "größe" positive, "a,b" pair, "%(x)s" extensions.hstore);
INSERT INTO "Odd Schema"."Tab'le ""x"" %s" ("select", "we
ird", "größe", "a,b", "%(x)s")
    SELECT 'row ' || n, 'happy "really"', n, ROW(n, E'x\ty\\z'::text)::pair, extensions.hstore('n', n::text) FROM generate_series(1, 100) AS n;
ALTER TABLE "Odd Schema"."Tab'le ""x"" %s" OWNER TO "Owner ""of"" all";
CREATE TABLE "Odd Schema".abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk (i integer);
CREATE TABLE "new
line" (i integer);
INSERT INTO "new
line" VALUES (1);

CREATE TABLE nothing_in_it (i integer PRIMARY KEY);
CREATE TABLE no_columns ();
INSERT INTO no_columns SELECT FROM generate_series(1, 7);
CREATE UNLOGGED TABLE unlogged (i integer);
INSERT INTO unlogged SELECT generate_series(1, 30);
CREATE TABLE kinds (
    id integer PRIMARY KEY, f8 double precision, f4 real, num numeric, cash money, at timestamptz, day date, span interval,
    raw bytea, doc json, docb jsonb, place point, net inet, mark uuid, words tsvector, r int4range, many text[], relation regclass,
    flag boolean, bits bit varying, page xml);
INSERT INTO kinds SELECT n, random() * 1e10, random(), n / 7.0, n, now() - n * interval '1 hour', current_date - n, n * interval '1 day 2 s',
    decode(md5(n::text), 'hex'), json_build_object('n', n), jsonb_build_object('n', n), point(n, n), '10.0.0.1', md5(n::text)::uuid,
    to_tsvector('english', 'the quick brown foxes'), int4range(n, n + 5), ARRAY['a', NULL, '{}'], 'nothing_in_it', n % 2 = 0, B'101', '<a/>'
    FROM generate_series(1, 300) AS n;
CREATE TABLE generated (a integer, doubled integer GENERATED ALWAYS AS (a * 2) STORED, dropped text, z text DEFAULT 'z');
INSERT INTO generated (a) SELECT generate_series(1, 20);
ALTER TABLE generated DROP COLUMN dropped;

CREATE TABLE measured (at date NOT NULL, value integer) PARTITION BY RANGE (at);
CREATE TABLE measured_2025 PARTITION OF measured FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
-- Attached, with its columns in another order.
CREATE TABLE measured_2026 (value integer, at date NOT NULL);
ALTER TABLE measured ATTACH PARTITION measured_2026 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE INDEX ON measured (value);
INSERT INTO measured SELECT date '2025-06-01' + n, n FROM generate_series(1, 400) AS n;

CREATE TABLE parent (id serial PRIMARY KEY, name text);
CREATE TABLE child (extra text) INHERITS (parent);
-- A restore puts the inherited column first.
CREATE TABLE stepchild (extra text, name text, id integer DEFAULT 0 NOT NULL);
ALTER TABLE stepchild INHERIT parent;
INSERT INTO parent (name) VALUES ('p');
INSERT INTO child (name, extra) VALUES ('c', 'e'), ('d', 'f');
INSERT INTO stepchild VALUES ('s', 't', 5);

CREATE TABLE secrets (owner text, content text);
INSERT INTO secrets VALUES ('a', 'x'), ('b', 'y'), ('c', 'z');
ALTER TABLE secrets ENABLE ROW LEVEL SECURITY;
ALTER TABLE secrets FORCE ROW LEVEL SECURITY;
ALTER TABLE secrets OWNER TO "Owner ""of"" all";
CREATE POLICY own ON secrets TO reader USING (owner = current_user);

CREATE VIEW happy AS SELECT * FROM "Odd Schema"."Tab'le ""x"" %s" WHERE "größe" > 50;
CREATE MATERIALIZED VIEW sums AS SELECT count(*) AS n FROM kinds;
CREATE MATERIALIZED VIEW never_filled AS SELECT 1 AS one WITH NO DATA;
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'triggers must not fire in a restore'; END $$;
CREATE TRIGGER noting BEFORE INSERT ON generated FOR EACH ROW EXECUTE FUNCTION noted();
CREATE FUNCTION ddl_noted() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM 1; END $$;
CREATE EVENT TRIGGER noting_ddl ON ddl_command_end EXECUTE FUNCTION ddl_noted();
CREATE SEQUENCE "Odd Schema"."Seq ""q""" INCREMENT BY -3 START WITH -1;
SELECT nextval('"Odd Schema"."Seq ""q"""'), nextval('"Odd Schema"."Seq ""q"""');
CREATE FUNCTION mark_text(uuid) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT $1::text $$;
CREATE INDEX trigrams ON kinds USING gin (mark_text(mark) extensions.gin_trgm_ops);
CREATE SEQUENCE never_used;
SELECT lo_from_bytea(0, convert_to(repeat('large ' || n, 5000), 'UTF8')) FROM generate_series(1, 12) AS n;
CREATE PUBLICATION everything FOR ALL TABLES;
CREATE STATISTICS related ON at, value FROM measured_2025;
COMMENT ON TABLE kinds IS 'has "all" of them;
\! touch /tmp/never';
GRANT SELECT ON kinds TO reader, "Größe ☃";
CREATE TEMPORARY TABLE gone_soon (i integer);
