-- The shop's own database, and the admin role that Sojourn is given: no superuser.
CREATE SCHEMA shop;
CREATE TABLE shop.orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, item text NOT NULL);
INSERT INTO shop.orders (item) VALUES ('apples'), ('pears'), ('quinces');
GRANT CONNECT ON DATABASE shop TO sojourn_admin WITH GRANT OPTION;
GRANT USAGE ON SCHEMA shop TO sojourn_admin WITH GRANT OPTION;
GRANT SELECT, INSERT ON shop.orders TO sojourn_admin WITH GRANT OPTION;
