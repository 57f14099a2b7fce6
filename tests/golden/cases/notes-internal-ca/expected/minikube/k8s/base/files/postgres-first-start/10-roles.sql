-- Runs once, when the data folder is created. `moorage up` does the same on every run, for what was added later.
\set ON_ERROR_STOP on
\getenv password POSTGRES_PASSWORD
CREATE ROLE "notes" LOGIN PASSWORD :'password';
CREATE DATABASE "notes" OWNER "notes";
REVOKE CONNECT ON DATABASE "notes" FROM PUBLIC;
