CREATE TABLE notes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    title text NOT NULL,
    body text NOT NULL,
    private_encrypted bytea,
    created_at timestamptz NOT NULL DEFAULT now()
);
