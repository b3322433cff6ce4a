
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

CREATE SCHEMA hyper;

SET default_tablespace = '';

SET default_table_access_method = heap;

CREATE TABLE hyper.battery (
    bat_id bigint NOT NULL,
    bat_name character varying(255),
    bat_time timestamp without time zone DEFAULT now()
);

CREATE SEQUENCE hyper.battery_bat_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE hyper.battery_bat_id_seq OWNED BY hyper.battery.bat_id;

CREATE TABLE hyper.experiment (
    hex_id bigint NOT NULL,
    bat_id bigint,
    ver_id bigint,
    hex_time timestamp without time zone DEFAULT now()
);

CREATE SEQUENCE hyper.experiment_hex_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE hyper.experiment_hex_id_seq OWNED BY hyper.experiment.hex_id;

CREATE TABLE hyper.meta (
    hex_id bigint NOT NULL,
    hex_meta json
);

CREATE TABLE hyper.param (
    hex_id bigint NOT NULL,
    hex_param json
);

CREATE TABLE hyper.result (
    hex_id bigint NOT NULL,
    hex_result json
);

CREATE TABLE hyper.version (
    ver_id bigint NOT NULL,
    bat_id bigint,
    ver_desc character varying(255),
    ver_time timestamp without time zone DEFAULT now()
);

CREATE SEQUENCE hyper.version_ver_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE hyper.version_ver_id_seq OWNED BY hyper.version.ver_id;

ALTER TABLE ONLY hyper.battery ALTER COLUMN bat_id SET DEFAULT nextval('hyper.battery_bat_id_seq'::regclass);

ALTER TABLE ONLY hyper.experiment ALTER COLUMN hex_id SET DEFAULT nextval('hyper.experiment_hex_id_seq'::regclass);

ALTER TABLE ONLY hyper.version ALTER COLUMN ver_id SET DEFAULT nextval('hyper.version_ver_id_seq'::regclass);

INSERT INTO hyper.battery VALUES (1, 'RNN Visual Attention - MNIST', '2026-11-27 06:37:45.601707');
INSERT INTO hyper.battery VALUES (2, 'with holes', '2026-11-27 06:37:45.639588');

INSERT INTO hyper.experiment VALUES (1, 1, 1, '2026-11-27 06:37:45.609117');
INSERT INTO hyper.experiment VALUES (2, 1, 1, '2026-11-27 06:37:45.615232');
INSERT INTO hyper.experiment VALUES (3, 1, 1, '2026-11-27 06:37:45.617071');
INSERT INTO hyper.experiment VALUES (4, 1, 1, '2026-11-27 06:37:45.618248');
INSERT INTO hyper.experiment VALUES (5, 1, 2, '2026-11-27 06:37:45.62003');
INSERT INTO hyper.experiment VALUES (6, 1, 2, '2026-11-27 06:37:45.624127');
INSERT INTO hyper.experiment VALUES (7, 1, 2, '2026-11-27 06:37:45.625231');
INSERT INTO hyper.experiment VALUES (8, 1, 2, '2026-11-27 06:37:45.626218');
INSERT INTO hyper.experiment VALUES (9, 1, 1, '2026-11-27 06:37:45.631634');
INSERT INTO hyper.experiment VALUES (10, 1, 3, '2026-11-27 06:37:45.63361');
INSERT INTO hyper.experiment VALUES (11, 1, 3, '2026-11-27 06:37:45.63448');
INSERT INTO hyper.experiment VALUES (12, 2, 4, '2026-11-27 06:37:45.640392');
INSERT INTO hyper.experiment VALUES (13, 2, 4, '2026-11-27 06:37:45.641285');
INSERT INTO hyper.experiment VALUES (14, 2, 4, '2026-11-27 06:37:45.641916');

INSERT INTO hyper.meta VALUES (1, '{"host":"hermes","seed":17,"data":"mnist"}');
INSERT INTO hyper.meta VALUES (2, '{"host":"zeus","seed":-3,"data":"a \"quoted\" \/ \\ name"}');
INSERT INTO hyper.meta VALUES (3, '{"host":"line\nbreak","seed":0,"data":"é€"}');
INSERT INTO hyper.meta VALUES (4, '{"host":"h","seed":9.007199254741e+15,"data":"=1+1"}');
INSERT INTO hyper.meta VALUES (5, '{"host":"hermes","seed":17,"data":"mnist"}');
INSERT INTO hyper.meta VALUES (6, '{"host":"zeus","seed":-3,"data":"a \"quoted\" \/ \\ name"}');
INSERT INTO hyper.meta VALUES (7, '{"host":"line\nbreak","seed":0,"data":"é€"}');
INSERT INTO hyper.meta VALUES (8, '{"host":"h","seed":9.007199254741e+15,"data":"=1+1"}');
INSERT INTO hyper.meta VALUES (9, '{"host":"line\nbreak","seed":0,"data":"é€"}');
INSERT INTO hyper.meta VALUES (10, '{"host":"zeus","seed":-3,"data":"a \"quoted\" \/ \\ name"}');
INSERT INTO hyper.meta VALUES (11, '{"host":"hermes","seed":17,"data":"mnist"}');
INSERT INTO hyper.meta VALUES (12, '{"host":"h2"}');
INSERT INTO hyper.meta VALUES (13, '{"host":"no result"}');

INSERT INTO hyper.param VALUES (1, '{"momentum":0.9,"decay":"linear","depth":3,"sched":[1,2,3],"nesterov":true,"lr":0.01}');
INSERT INTO hyper.param VALUES (2, '{"momentum":0,"decay":"","depth":1,"sched":{},"nesterov":false,"lr":1e-05}');
INSERT INTO hyper.param VALUES (3, '{"momentum":0.95,"decay":"lcn,std","depth":7,"sched":[10],"nesterov":true,"lr":0.33333333333333}');
INSERT INTO hyper.param VALUES (4, '{"momentum":2,"decay":"x","depth":2,"sched":[1],"nesterov":false,"lr":123456789.25}');
INSERT INTO hyper.param VALUES (5, '{"momentum":0.9,"decay":"linear","depth":3,"sched":[1,2,3],"nesterov":true,"lr":0.01}');
INSERT INTO hyper.param VALUES (6, '{"momentum":0,"decay":"","depth":1,"sched":{},"nesterov":false,"lr":1e-05}');
INSERT INTO hyper.param VALUES (7, '{"momentum":0.95,"decay":"lcn,std","depth":7,"sched":[10],"nesterov":true,"lr":0.33333333333333}');
INSERT INTO hyper.param VALUES (8, '{"momentum":2,"decay":"x","depth":2,"sched":[1],"nesterov":false,"lr":123456789.25}');
INSERT INTO hyper.param VALUES (9, '{"momentum":0.95,"decay":"lcn,std","depth":7,"sched":[10],"nesterov":true,"lr":0.33333333333333}');
INSERT INTO hyper.param VALUES (10, '{"momentum":0,"decay":"","depth":1,"sched":{},"nesterov":false,"lr":1e-05}');
INSERT INTO hyper.param VALUES (11, '{"momentum":0.9,"decay":"linear","depth":3,"sched":[1,2,3],"nesterov":true,"lr":0.01}');
INSERT INTO hyper.param VALUES (12, '{"momentum":true,"lr":2}');
INSERT INTO hyper.param VALUES (13, '{"decay":"x","lr":0.5}');

INSERT INTO hyper.result VALUES (1, '{"curve":[0.1,0.5,0.75],"trainAcc":0.998,"validAcc":0.876}');
INSERT INTO hyper.result VALUES (2, '{"curve":[1],"trainAcc":1,"validAcc":0.5}');
INSERT INTO hyper.result VALUES (3, '{"curve":{},"trainAcc":0.25,"validAcc":0.9001}');
INSERT INTO hyper.result VALUES (4, '{"curve":{"a":{"b":true}},"trainAcc":0.3,"validAcc":0.7}');
INSERT INTO hyper.result VALUES (5, '{"curve":[0.1,0.5,0.75],"trainAcc":0.998,"validAcc":0.876}');
INSERT INTO hyper.result VALUES (6, '{"curve":[1],"trainAcc":1,"validAcc":0.5}');
INSERT INTO hyper.result VALUES (7, '{"curve":{},"trainAcc":0.25,"validAcc":0.9001}');
INSERT INTO hyper.result VALUES (8, '{"curve":{"a":{"b":true}},"trainAcc":0.3,"validAcc":0.7}');
INSERT INTO hyper.result VALUES (9, '{"curve":{},"trainAcc":0.25,"validAcc":0.9001}');
INSERT INTO hyper.result VALUES (10, '{"curve":[1],"trainAcc":1,"validAcc":0.5}');
INSERT INTO hyper.result VALUES (11, '{"curve":[0.1,0.5,0.75],"trainAcc":0.998,"validAcc":0.876}');
INSERT INTO hyper.result VALUES (12, '{"validAcc":0.6}');

INSERT INTO hyper.version VALUES (1, 1, 'first try', '2026-11-27 06:37:45.608277');
INSERT INTO hyper.version VALUES (2, 1, 'fixed bug in Sequencer', '2026-11-27 06:37:45.619756');
INSERT INTO hyper.version VALUES (3, 1, 'third', '2026-11-27 06:37:45.633257');
INSERT INTO hyper.version VALUES (4, 2, 'v', '2026-11-27 06:37:45.640031');

SELECT pg_catalog.setval('hyper.battery_bat_id_seq', 2, true);

SELECT pg_catalog.setval('hyper.experiment_hex_id_seq', 14, true);

SELECT pg_catalog.setval('hyper.version_ver_id_seq', 4, true);

ALTER TABLE ONLY hyper.battery
    ADD CONSTRAINT battery_bat_name_key UNIQUE (bat_name);

ALTER TABLE ONLY hyper.battery
    ADD CONSTRAINT battery_pkey PRIMARY KEY (bat_id);

ALTER TABLE ONLY hyper.experiment
    ADD CONSTRAINT experiment_pkey PRIMARY KEY (hex_id);

ALTER TABLE ONLY hyper.meta
    ADD CONSTRAINT meta_pkey PRIMARY KEY (hex_id);

ALTER TABLE ONLY hyper.param
    ADD CONSTRAINT param_pkey PRIMARY KEY (hex_id);

ALTER TABLE ONLY hyper.result
    ADD CONSTRAINT result_pkey PRIMARY KEY (hex_id);

ALTER TABLE ONLY hyper.version
    ADD CONSTRAINT version_bat_id_ver_desc_key UNIQUE (bat_id, ver_desc);

ALTER TABLE ONLY hyper.version
    ADD CONSTRAINT version_pkey PRIMARY KEY (ver_id);

ALTER TABLE ONLY hyper.experiment
    ADD CONSTRAINT experiment_bat_id_fkey FOREIGN KEY (bat_id) REFERENCES hyper.battery(bat_id);

ALTER TABLE ONLY hyper.experiment
    ADD CONSTRAINT experiment_ver_id_fkey FOREIGN KEY (ver_id) REFERENCES hyper.version(ver_id);

ALTER TABLE ONLY hyper.meta
    ADD CONSTRAINT meta_hex_id_fkey FOREIGN KEY (hex_id) REFERENCES hyper.experiment(hex_id);

ALTER TABLE ONLY hyper.param
    ADD CONSTRAINT param_hex_id_fkey FOREIGN KEY (hex_id) REFERENCES hyper.experiment(hex_id);

ALTER TABLE ONLY hyper.result
    ADD CONSTRAINT result_hex_id_fkey FOREIGN KEY (hex_id) REFERENCES hyper.experiment(hex_id);

ALTER TABLE ONLY hyper.version
    ADD CONSTRAINT version_bat_id_fkey FOREIGN KEY (bat_id) REFERENCES hyper.battery(bat_id);

