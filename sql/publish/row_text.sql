-- Values as text that is the same in every release: texts with their length in bytes, so that no two rows
-- run together, and the bits of a number, since its digits depend on who writes them.
CREATE OR REPLACE TEMP MACRO framed(value) AS coalesce(strlen(value) || ':' || value, '-');
CREATE OR REPLACE TEMP MACRO bits(value) AS coalesce((value::DOUBLE::BIT::BIGINT)::VARCHAR, '-');
CREATE OR REPLACE TEMP MACRO framed_list(texts) AS coalesce(
    concat(
        array_to_string(list_transform(texts, lambda text: coalesce(strlen(text), -1)), ','),
        ':', array_to_string(texts, '')
    ),
    '-'
);
