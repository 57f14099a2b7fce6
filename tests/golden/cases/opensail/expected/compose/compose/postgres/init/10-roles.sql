-- Runs once, when the data folder is created. `moorage up` does the same on every run, for what was added later.
\set ON_ERROR_STOP on
\getenv password POSTGRES_PASSWORD
CREATE ROLE "tesslate_user" LOGIN PASSWORD :'password';
CREATE DATABASE "tesslate" OWNER "tesslate_user";
REVOKE CONNECT ON DATABASE "tesslate" FROM PUBLIC;
CREATE DATABASE "tesslate_marketplace" OWNER "tesslate_user";
REVOKE CONNECT ON DATABASE "tesslate_marketplace" FROM PUBLIC;
