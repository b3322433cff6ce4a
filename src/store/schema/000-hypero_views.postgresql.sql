-- Not a step of the store: studies in the shape of hypero's tables, for SQL that was written for it.
-- The views are made in the schema that the setting drmad.schema names, over the tables of the
-- current one. OFFSET 0 keeps PostgreSQL from letting anyone write through them.
DO $$
BEGIN
    EXECUTE format('CREATE SCHEMA IF NOT EXISTS %I', current_setting('drmad.schema'));
    PERFORM set_config('search_path',
        format('%I, %I', current_setting('drmad.schema'), current_schema()), true);
END
$$;

CREATE OR REPLACE VIEW battery AS
SELECT s.study_id::bigint AS bat_id, s.study_name AS bat_name,
    (SELECT min(t.datetime_start) FROM trials t WHERE t.study_id = s.study_id) AS bat_time
FROM studies s
OFFSET 0;

-- A trial of no version belongs to version -study_id.
CREATE OR REPLACE VIEW version AS
SELECT v.version_id::bigint AS ver_id, v.study_id::bigint AS bat_id, v.name AS ver_desc,
    v.made AS ver_time
FROM drmad_versions v
UNION ALL
SELECT -s.study_id::bigint, s.study_id::bigint, '(no version)', NULL
FROM studies s
WHERE EXISTS (
    SELECT 1 FROM trials t LEFT JOIN drmad_leases l ON l.trial_id = t.trial_id
    WHERE t.study_id = s.study_id AND l.version_id IS NULL);

CREATE OR REPLACE VIEW experiment AS
SELECT t.trial_id::bigint AS hex_id, t.study_id::bigint AS bat_id,
    coalesce(l.version_id, -t.study_id)::bigint AS ver_id, t.datetime_start AS hex_time
FROM trials t LEFT JOIN drmad_leases l ON l.trial_id = t.trial_id
WHERE t.state <> 'WAITING'
OFFSET 0;

-- Categorical values lie in the store as places in their list of choices.
CREATE OR REPLACE VIEW param AS
SELECT p.trial_id::bigint AS hex_id,
    json_object_agg(p.param_name,
        CASE
            WHEN d.choices IS NOT NULL THEN d.choices -> p.param_value::integer
            WHEN d.kind IN ('IntDistribution', 'IntUniformDistribution',
                'IntLogUniformDistribution', 'int') THEN to_json(p.param_value::bigint)
            ELSE to_json(p.param_value)
        END ORDER BY p.param_id) AS hex_param
FROM trial_params p, LATERAL (
    SELECT coalesce(j.a -> 'attributes' -> 'choices', j.a -> 'choices') AS choices,
        coalesce(j.a ->> 'name', j.a ->> 'type') AS kind
    FROM (SELECT p.distribution_json::json AS a) j) d
GROUP BY p.trial_id;

-- Python writes tokens that are no JSON; such a value is given as a text.
CREATE OR REPLACE VIEW meta AS
SELECT a.trial_id::bigint AS hex_id,
    json_object_agg(
        CASE WHEN a.key LIKE 'meta:%' THEN substr(a.key, 6) ELSE a.key END,
        CASE WHEN a.value_json ~ '(NaN|Infinity)' THEN to_json(a.value_json)
            ELSE a.value_json::json END
        ORDER BY a.trial_user_attribute_id) AS hex_meta
FROM trial_user_attributes a
WHERE a.key NOT LIKE 'result:%'
GROUP BY a.trial_id;

-- The objectives by the names that the study gives them, unless an attribute has that name.
CREATE OR REPLACE VIEW result AS
SELECT r.trial_id::bigint AS hex_id, json_object_agg(r.name, r.value ORDER BY r.place) AS hex_result
FROM (
    SELECT v.trial_id, v.objective AS place,
        CASE v.value_type WHEN 'INF_POS' THEN to_json('Infinity'::float8)
            WHEN 'INF_NEG' THEN to_json('-Infinity'::float8) ELSE to_json(v.value) END AS value,
        coalesce(m.value_json::json ->> v.objective,
            CASE WHEN (SELECT count(*) FROM study_directions d WHERE d.study_id = t.study_id) = 1
                THEN 'value' ELSE 'value_' || v.objective END) AS name
    FROM trial_values v JOIN trials t ON t.trial_id = v.trial_id
    LEFT JOIN study_system_attributes m
        ON m.study_id = t.study_id AND m.key = 'study:metric_names'
    UNION ALL
    SELECT a.trial_id, 1000000 + a.trial_user_attribute_id,
        CASE WHEN a.value_json ~ '(NaN|Infinity)' THEN to_json(a.value_json)
            ELSE a.value_json::json END, substr(a.key, 8)
    FROM trial_user_attributes a WHERE a.key LIKE 'result:%') r
WHERE r.place >= 1000000 OR NOT EXISTS (
    SELECT 1 FROM trial_user_attributes b
    WHERE b.trial_id = r.trial_id AND b.key = 'result:' || r.name)
GROUP BY r.trial_id;
